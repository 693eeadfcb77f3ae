// Stars: which files are picked, kept in this browser, saved and loaded.

const STORE = `kinovi-picks-${data.book}`;
const picks = new Set();
const fileOf = (output) => output.file || output.u;
// Written by hand, a pick may also be the id of a job: all of its files.
const known = new Map();
for (const job of jobs) known.set(job.id, (job.o || []).filter((output) => output.u).map(fileOf));
for (const job of jobs) for (const file of known.get(job.id)) known.set(file, [file]);

function remember() {
  try {
    localStorage.setItem(STORE, JSON.stringify([...picks]));
  } catch { /* private windows may refuse; the picks live as long as the page */ }
}
function recall() {
  try {
    JSON.parse(localStorage.getItem(STORE) || "[]").flatMap((file) => known.get(file) || []).forEach((file) => picks.add(file));
  } catch { /* as above */ }
}
function showPicks() {
  byId("pick-count").textContent = picks.size.toLocaleString("en");
  byId("save-picks").disabled = byId("clear-picks").disabled = picks.size === 0;
  for (const star of document.querySelectorAll("[data-pick]")) {
    star.setAttribute("aria-pressed", String(picks.has(star.dataset.pick)));
  }
}
function turnPick(file) {
  if (!picks.delete(file)) picks.add(file);
  remember();
  showPicks();
  if (byId("only-picks").checked && !viewer.open) select();
}
function star(file, label) {
  const button = make(
    "button",
    { type: "button", class: "star", "data-pick": file, "aria-pressed": String(picks.has(file)), "aria-label": label, title: "Pick" },
    icon(STAR),
  );
  button.addEventListener("click", () => turnPick(file));
  return button;
}
function savePicks() {
  const chosen = jobs.flatMap((job) =>
    (job.o || [])
      .filter((output) => output.u && picks.has(fileOf(output)))
      .map((output) => ({ id: job.id, file: fileOf(output) })),
  );
  const text = JSON.stringify({ format: "kinovi picks 1", picks: chosen }, null, 1) + "\n";
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = make("a", { href: address, download: "picks.json" });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
async function loadPicks(file) {
  let found = null;
  try {
    const read = JSON.parse(await file.text());
    found = (Array.isArray(read) ? read : read.picks).map((pick) => (typeof pick === "string" ? pick : pick?.file));
  } catch { /* told below */ }
  if (!found) {
    byId("found").textContent = `${file.name} is no picks.json`;
    return;
  }
  const here = found.filter((pick) => (known.get(pick) || []).length);
  here.flatMap((pick) => known.get(pick)).forEach((file) => picks.add(file));
  remember();
  showPicks();
  select();
  const lost = found.length - here.length;
  byId("found").textContent = `${count(here.length, "pick")} loaded${lost ? `, ${lost} not in this report` : ""}`;
}
