// The gallery: rows of whole pictures, of which only those near the window exist.

const grid = byId("grid");
const GAP = 16;
const NARROWEST = 172;
const WORDY = { width: 236, height: 116 };
const MOST_CELLS = 9;
let rows = [];
const drawn = new Map();
const rowOf = new Map();

const ratioOf = (output) => (output && output.w && output.h ? output.w / output.h : 0);
function asked(job) {
  const given = (job.v || []).find((pair) => pair[0] === "aspectRatio");
  const sides = given && /^(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)$/.exec(given[1]);
  return sides ? sides[1] / sides[2] : 0;
}
function shapeOf(job) {
  const outputs = job.o || [];
  const shown = Math.min(outputs.length, MOST_CELLS);
  if (!shown) return { columns: 1, rows: 1, ratio: 0 };
  const one = Math.min(4, Math.max(0.25, ratioOf(outputs[0]) || asked(job) || 4 / 3));
  let best = null;
  for (let columns = 1; columns <= shown; columns++) {
    const lines = Math.ceil(shown / columns);
    const ratio = (one * columns) / lines;
    // Near to 3:2 as a whole, and without empty places.
    const penalty = Math.abs(Math.log(ratio / 1.5)) + (columns * lines - shown) * 0.4;
    if (!best || penalty < best.penalty - 1e-9) best = { columns, rows: lines, ratio, penalty };
  }
  return best;
}
const shapes = jobs.map(shapeOf);

// Two lines for the prompt and three for the rest, where that many are needed.
const ruler = document.createElement("canvas").getContext("2d");
const lengths = [];
function captionHeight(place, width) {
  if (lengths[place] === undefined) {
    ruler.font = `13px ${getComputedStyle(document.body).fontFamily}`;
    const job = jobs[place];
    lengths[place] = [(job.p || "").slice(0, 120), metaOf(job)].map((text) => ruler.measureText(text).width);
  }
  // A line that is nearly full may still break.
  const lines = lengths[place].reduce((sum, length, kind) => sum + Math.min(kind ? 3 : 2, Math.ceil(length / (width * 0.88))), 0);
  return 29 + 19 * lines;
}
function metaOf(job) {
  const price = job.c !== undefined ? (job.c ? dollars(worth(job, job.c)) : "free") : job.cm ? `up to ${dollars(worth(job, job.cm))}` : "";
  const took = job.tg !== undefined && job.s !== "running" && `took ${lasting(job.tg)}`;
  // Lines break between the parts, not within.
  const parts = [job.f, price, took].filter(Boolean).map((part) => part.replaceAll(" ", "\u00a0"));
  return [data.models[job.m], ...parts].filter(Boolean).join("\u00a0· ");
}

function layOut() {
  const width = grid.clientWidth;
  if (!width) return;
  const wanted = Math.min(Number(byId("size").value), width);
  rows = [];
  rowOf.clear();
  let top = 0;
  let line = [];
  let sum = 0;
  let position = 0;
  const close = (full) => {
    const room = width - GAP * (line.length - 1);
    const scale = full || sum > room ? room / sum : 1;
    // No higher than the highest picture becomes: a wide one may have the row to itself.
    const highest = Math.max(0, ...line.map(([place, base]) => (shapes[place].ratio ? (base * scale) / shapes[place].ratio : 0)));
    const height = highest ? Math.round(Math.min(wanted * Math.min(scale, 1.4), highest)) : WORDY.height;
    let left = 0;
    let caption = 0;
    const row = { top, height: 0, jobs: [], number: rows.length };
    for (const [place, base] of line) {
      const wide = Math.floor(base * scale);
      caption = Math.max(caption, captionHeight(place, wide));
      row.jobs.push({ place, left, width: wide, height, position: ++position });
      rowOf.set(place, row);
      left += wide + GAP;
    }
    row.height = height + caption;
    rows.push(row);
    top += row.height + GAP;
    line = [];
    sum = 0;
  };
  for (const place of chosen) {
    const ratio = shapes[place].ratio;
    const base = Math.min(width, ratio ? Math.max(NARROWEST, wanted * ratio) : WORDY.width);
    const room = width - GAP * line.length;
    // The next one goes where the row comes nearer to the wanted height.
    if (line.length && sum + base > room && room / (sum + base) < 0.8) close(true);
    line.push([place, base]);
    sum += base;
    if (sum >= width - GAP * (line.length - 1)) close(true);
  }
  if (line.length) close(false);
  grid.style.height = `${Math.max(0, top - GAP)}px`;
  for (const element of drawn.values()) element.remove();
  drawn.clear();
  grid.querySelector(".nothing")?.remove();
  if (!chosen.length) {
    grid.style.height = "";
    grid.append(make("p", { class: "nothing", text: "No job is like that." }));
  }
  draw();
}

function near() {
  const start = grid.getBoundingClientRect().top;
  const margin = printing ? Infinity : window.innerHeight * 0.75;
  const from = -start - margin;
  const to = -start + window.innerHeight + margin;
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].top + rows[middle].height < from) low = middle + 1;
    else high = middle;
  }
  const found = [];
  for (let number = low; number < rows.length && rows[number].top <= to; number++) found.push(rows[number]);
  return found;
}
let printing = false;

function draw() {
  const wanted = new Map();
  for (const row of near()) for (const spot of row.jobs) wanted.set(spot.place, [row, spot]);
  for (const [place, element] of drawn) {
    if (wanted.has(place) || element.contains(document.activeElement)) continue;
    // An element that is thrown away must not go on loading.
    for (const video of element.querySelectorAll("video")) { video.removeAttribute("src"); video.load(); }
    element.remove();
    drawn.delete(place);
  }
  for (const [place, [row, spot]] of wanted) {
    if (drawn.has(place)) continue;
    const element = card(place, row, spot);
    drawn.set(place, element);
  }
  // In the order of the page, so that Tab goes where the eye goes.
  const order = [...drawn.entries()].sort((one, other) => {
    const a = rowOf.get(one[0]);
    const b = rowOf.get(other[0]);
    return a.number - b.number || a.jobs.findIndex((spot) => spot.place === one[0]) - a.jobs.findIndex((spot) => spot.place === other[0]);
  });
  let before = null;
  for (const [, element] of order) {
    if (!element.isConnected) {
      if (before) before.after(element);
      else grid.prepend(element);
    }
    before = element;
  }
}

function card(place, row, spot) {
  const job = jobs[place];
  const shape = shapes[place];
  const outputs = job.o || [];
  const frame = make("div", { class: "frame" });
  frame.style.height = `${spot.height}px`;
  // A narrow picture stands in a place that is wide enough for its caption.
  if (outputs.length) frame.style.width = `${Math.min(spot.width, Math.round(spot.height * shape.ratio))}px`;
  frame.style.gridTemplate = `repeat(${shape.rows}, minmax(0, 1fr)) / repeat(${shape.columns}, minmax(0, 1fr))`;
  if (!outputs.length) frame.append(cell(place, -1));
  for (let number = 0; number < Math.min(outputs.length, MOST_CELLS); number++) frame.append(cell(place, number));
  const element = make(
    "div",
    {
      class: "card", role: "listitem", "data-job": place, "data-status": job.s,
      // Only some of the list exist at a time.
      "aria-setsize": chosen.length, "aria-posinset": spot.position,
    },
    frame,
    make(
      "div",
      { class: "caption" },
      make("div", { class: "name", dir: "auto", text: job.id, title: job.id }),
      job.p ? make("div", { class: "prompt", dir: "auto", text: job.p.slice(0, 300) }) : null,
      make("div", { class: "meta", text: metaOf(job) }),
    ),
  );
  element.style.top = `${row.top}px`;
  element.style.left = `${spot.left}px`;
  element.style.width = `${spot.width}px`;
  return element;
}

function labelOf(job, number) {
  const outputs = job.o || [];
  if (number < 0) return `${job.id}: ${job.s}`;
  const which = outputs.length > 1 ? `, ${number + 1} of ${outputs.length}` : "";
  return `${job.id}${which}`;
}

function cell(place, number) {
  const job = jobs[place];
  const output = number < 0 ? null : job.o[number];
  const button = make("button", { type: "button", class: "open", "aria-label": `Open ${labelOf(job, number)}`, "data-cell": number });
  button.addEventListener("click", () => show(place, Math.max(0, number)));
  const box = make("div", { class: "cell" }, button);
  const left = number === MOST_CELLS - 1 ? job.o.length - MOST_CELLS + 1 : 1;
  if (left > 1) button.append(make("span", { class: "rest", text: `and ${left} more` }));
  else if (output && output.u && output.k === "image") {
    button.append(make("img", { src: output.u, alt: "", loading: "lazy", decoding: "async", width: output.w, height: output.h }));
  } else if (output && output.u && output.k === "video") {
    // The first frame stands for the film; the rest of it stays where it is.
    const video = make("video", { src: `${output.u}#t=0.001`, preload: "metadata", playsinline: "", tabindex: "-1", "aria-hidden": "true" });
    video.muted = true;
    button.append(video, make("span", { class: "play" }, icon(PLAY, true)));
  } else button.append(words(job, output));
  if (output && output.u) box.append(star(fileOf(output), `Pick ${labelOf(job, number)}`));
  return box;
}

function words(job, output) {
  const told = make("span", { class: "words" });
  if (output && output.u) {
    told.append(make("b", { text: output.k }), make("span", { text: fileOf(output) }));
  } else if (job.s === "succeeded") {
    told.dataset.status = "file missing";
    told.append(make("b", { text: "No file here" }));
    if (job.x) told.append(make("span", { text: `On the server until ${day(job.x)}` }));
    if (job.e) told.append(make("span", { text: job.e, dir: "auto" }));
  } else {
    told.append(make("b", { text: job.s }));
    if (job.r !== undefined) told.append(make("span", { text: data.reasons[job.r].title, dir: "auto" }));
  }
  return told;
}

function focusJob(place) {
  const row = rowOf.get(place);
  if (!row) return;
  const start = grid.getBoundingClientRect().top + window.scrollY;
  const top = start + row.top;
  if (top < window.scrollY + 16 || top + row.height > window.scrollY + window.innerHeight) {
    window.scrollTo(0, top - Math.max(16, (window.innerHeight - row.height) / 2));
  }
  draw();
  drawn.get(place)?.querySelector(".open").focus({ preventScroll: true });
  draw();
}
function neighbour(place, key) {
  const position = chosen.indexOf(place);
  if (key === "ArrowRight") return chosen[position + 1];
  if (key === "ArrowLeft") return chosen[position - 1];
  if (key === "Home") return chosen[0];
  if (key === "End") return chosen[chosen.length - 1];
  const row = rowOf.get(place);
  const next = rows[row.number + (key === "ArrowDown" ? 1 : -1)];
  if (!next) return undefined;
  const spot = row.jobs.find((each) => each.place === place);
  const centre = spot.left + spot.width / 2;
  const away = (each) => Math.abs(each.left + each.width / 2 - centre);
  return next.jobs.reduce((best, each) => (away(each) < away(best) ? each : best)).place;
}
const MOVES = new Set(["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End"]);
grid.addEventListener("keydown", (event) => {
  const at = event.target.closest(".card");
  if (!at || !MOVES.has(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const next = neighbour(Number(at.dataset.job), event.key);
  if (next !== undefined) focusJob(next);
});
