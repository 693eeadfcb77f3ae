// What everything else uses. Texts of people reach the page as text nodes or form values,
// never as markup.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const jobs = data.jobs;
if (!byId("grid")) return;

function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";
function icon(path, fill) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  if (fill) shape.setAttribute("fill", "currentColor");
  svg.append(shape);
  return svg;
}
const STAR = "M12 3.2l2.7 5.6 6.1.8-4.5 4.2 1.1 6.1L12 16.9l-5.4 3 1.1-6.1L3.2 9.6l6.1-.8z";
const PLAY = "M8 5.5v13l11-6.5z";

const count = (number, noun, plural) =>
  `${number.toLocaleString("en")} ${number === 1 ? noun : plural || noun + "s"}`;
function lasting(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}
const credits = (amount) => `${amount.toLocaleString("en")} ${amount === 1 ? "credit" : "credits"}`;
function dollars(amount) {
  // As the sums above are rounded: binary fractions mended, halves to the even cent.
  const cents = Math.round(amount * 1e6) / 1e4;
  const below = Math.floor(cents);
  const whole = cents - below === 0.5 ? below + (below % 2) : Math.round(cents);
  const digits = amount >= 1 || whole === cents ? 2 : 3;
  const told = digits === 2 ? whole / 100 : amount;
  return `$${told.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}
// Credits of a job in dollars: not all are sold at the same rate.
const worth = (job, amount) => amount * data.rates[job.cr || 0];
function cost(job) {
  if (job.c !== undefined) return `${credits(job.c)} (${dollars(worth(job, job.c))})`;
  return job.cm ? `at most ${credits(job.cm)} (${dollars(worth(job, job.cm))})` : "";
}
const moment = (seconds) =>
  new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
const day = (seconds) => new Date(seconds * 1000).toLocaleDateString(undefined, { dateStyle: "medium" });

// Advice holds commands between backquotes.
function coded(text) {
  return text.split("`").map((part, place) => (place % 2 ? make("code", { text: part }) : part));
}
