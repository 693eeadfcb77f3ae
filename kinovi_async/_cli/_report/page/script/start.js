// The controls, and the start of it all.

function options(element, all, found) {
  element.append(make("option", { value: "", text: all }));
  for (const [value, text] of found) element.append(make("option", { value, text }));
}
function tally(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  return counts;
}
const MOST_OPTIONS = 300;
function fillFilters() {
  const brief = (text) => (text.length > 60 ? `${text.slice(0, 59)}…` : text);
  const statuses = tally(jobs.map((job) => job.s));
  options(byId("status"), "All", [...statuses].map(([name, number]) => [name, `${name} (${number.toLocaleString("en")})`]));
  const models = tally(jobs.map((job) => job.m));
  options(byId("model"), "All", [...models].map(([place, number]) => [place, `${brief(data.models[place])} (${number.toLocaleString("en")})`]));
  const tags = new Map();
  for (const job of jobs) for (const pair of Object.entries(job.g || {})) {
    const key = JSON.stringify(pair);
    tags.set(key, (tags.get(key) || 0) + 1);
  }
  const sorted = [...tags].sort((one, other) => (one[0] < other[0] ? -1 : 1)).slice(0, MOST_OPTIONS);
  options(byId("tag"), "All", sorted.map(([key, number]) => {
    const [name, value] = JSON.parse(key);
    return [key, `${brief(`${name}: ${value}`)} (${number.toLocaleString("en")})`];
  }));
  byId("tag-label").hidden = tags.size === 0;
}
fillFilters();
recall();
byId("size").value = "240";
byId("filters").addEventListener("submit", (event) => event.preventDefault());
let typing = 0;
byId("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(select, 120);
});
for (const name of ["status", "model", "tag", "order", "only-picks"]) byId(name).addEventListener("change", select);
byId("size").addEventListener("change", layOut);
byId("save-picks").addEventListener("click", savePicks);
byId("load-picks").addEventListener("click", () => byId("picks-file").click());
byId("picks-file").addEventListener("change", (event) => {
  if (event.target.files.length) loadPicks(event.target.files[0]);
  event.target.value = "";
});
let forgotten = [];
byId("clear-picks").addEventListener("click", () => {
  forgotten = [...picks];
  picks.clear();
  remember();
  showPicks();
  select();
  const undo = make("button", { type: "button", class: "quiet", text: "Undo" });
  undo.addEventListener("click", () => {
    forgotten.forEach((file) => picks.add(file));
    remember();
    showPicks();
    select();
  });
  byId("found").replaceChildren(`${count(forgotten.length, "pick")} cleared `, undo);
});
for (const button of document.querySelectorAll("[data-show-reason]")) {
  button.parentElement.hidden = false;
  button.addEventListener("click", () => {
    for (const name of ["status", "model", "tag"]) byId(name).value = "";
    byId("search").value = "";
    byId("only-picks").checked = false;
    reason = Number(button.dataset.showReason);
    select();
    byId("pictures").scrollIntoView();
    if (chosen.length) drawn.get(chosen[0])?.querySelector(".open").focus({ preventScroll: true });
  });
}
byId("reason-off").addEventListener("click", () => {
  reason = null;
  select();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || viewer.open || event.target.closest("input, select, textarea")) return;
  event.preventDefault();
  byId("search").focus();
});

document.querySelector(".gallery-ui").hidden = false;
showPicks();
select();
let asleep = false;
const wake = () => {
  if (asleep) return;
  asleep = true;
  requestAnimationFrame(() => {
    asleep = false;
    draw();
  });
};
window.addEventListener("scroll", wake, { passive: true });
window.addEventListener("resize", wake, { passive: true });
let lastWidth = grid.clientWidth;
new ResizeObserver(() => {
  if (grid.clientWidth === lastWidth) return;
  lastWidth = grid.clientWidth;
  layOut();
}).observe(grid);
const PRINTED = 400;
window.addEventListener("beforeprint", () => {
  printing = chosen.length <= PRINTED;
  draw();
});
window.addEventListener("afterprint", () => {
  printing = false;
  draw();
});
