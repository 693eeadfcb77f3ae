// Stars: which files are picked, kept in this browser, saved and loaded.

const STORE = `kinovi-picks-${data.book}`;
const picks = new Set();
const fileOf = (output) => output.file || output.u;
const known = new Map();
jobs.forEach((job, place) => {
  for (const output of job.o || []) if (output.u) known.set(fileOf(output), place);
});

function remember() {
  try {
    localStorage.setItem(STORE, JSON.stringify([...picks]));
  } catch { /* private windows may refuse; the picks live as long as the page */ }
}
function recall() {
  try {
    for (const file of JSON.parse(localStorage.getItem(STORE) || "[]")) {
      if (known.has(file)) picks.add(file);
    }
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
    found = (Array.isArray(read) ? read : read.picks).map((pick) => (typeof pick === "string" ? pick : pick.file));
  } catch { /* told below */ }
  if (!found) {
    byId("found").textContent = `${file.name} is no picks.json`;
    return;
  }
  const here = found.filter((pick) => known.has(pick));
  here.forEach((pick) => picks.add(pick));
  remember();
  showPicks();
  select();
  const lost = found.length - here.length;
  byId("found").textContent = `${count(here.length, "pick")} loaded${lost ? `, ${lost} not in this report` : ""}`;
}
