// One job, large.

const viewer = byId("viewer");
let shownJob = 0;
let shownFile = 0;
let circle = [];

function show(place, number, among = chosen) {
  circle = among.includes(place) ? among : [place];
  shownJob = place;
  shownFile = number;
  if (!viewer.open) viewer.showModal();
  fill();
  byId("facts").focus({ preventScroll: true });
}
function fill() {
  const job = jobs[shownJob];
  const outputs = job.o || [];
  const output = outputs[shownFile];
  const stage = byId("stage");
  stopStage();
  stage.replaceChildren();
  viewer.dataset.status = job.s;
  if (output && output.u && output.k === "image") {
    stage.append(make("img", { src: output.u, alt: (job.p || job.id).slice(0, 300) }));
    fit(stage.firstChild, output, "naturalWidth", "naturalHeight", "load");
  } else if (output && output.u && (output.k === "video" || output.k === "audio")) {
    const player = make(output.k, { src: output.u, controls: "", loop: "", playsinline: "" });
    player.setAttribute("aria-label", labelOf(job, shownFile));
    stage.append(player);
    fit(player, output, "videoWidth", "videoHeight", "loadedmetadata");
    player.play().catch(() => { /* a browser may want a click first */ });
  } else stage.append(words(job, output));
  const position = circle.indexOf(shownJob);
  byId("place").textContent =
    (outputs.length > 1 ? `${shownFile + 1} of ${outputs.length} · ` : "") +
    `job ${(position + 1).toLocaleString("en")} of ${circle.length.toLocaleString("en")}`;
  byId("previous").disabled = position === 0 && shownFile === 0;
  byId("next").disabled = position === circle.length - 1 && shownFile >= outputs.length - 1;
  byId("facts").replaceChildren(...facts(job, output));
  byId("facts").scrollTop = 0;
  showPicks();
}
// As large as fits, with the controls of a film right below its picture.
function fit(element, output, width, height, event) {
  const take = (ratio) => ratio && stageRatio(element, ratio);
  take(ratioOf(output));
  element.addEventListener(event, () => take(element[width] / element[height]));
}
const stageRatio = (element, ratio) => element.style.setProperty("--ratio", String(ratio));
function facts(job, output) {
  const made = [
    make("h2", { dir: "auto", text: job.id }),
    make("p", {}, make("span", { class: "badge", "data-status": job.s, text: job.s }), make("small", { text: ` ${data.models[job.m]}` })),
  ];
  if (job.r !== undefined) {
    const group = data.reasons[job.r];
    made.push(make(
      "div",
      { class: "trouble", "data-status": group.status },
      make("p", { dir: "auto", text: group.title }),
      job.e && job.e !== group.title ? make("p", {}, make("small", { dir: "auto", text: job.e })) : null,
      make("p", {}, make("small", {}, ...coded(group.advice), ".")),
    ));
  }
  if (output && output.u) {
    const pick = make("button", { type: "button", class: "quiet", "data-pick": fileOf(output), "aria-pressed": "false" }, icon(STAR), "Pick");
    pick.addEventListener("click", () => turnPick(fileOf(output)));
    made.push(make(
      "p", { class: "act" }, pick,
      make("a", { href: output.u, target: "_blank", rel: "noopener noreferrer", text: "Open the file" }),
    ));
  }
  if (job.p) made.push(make("p", { class: "prompt", dir: "auto", text: job.p }));
  if (job.cut) made.push(make("p", {}, make("small", { text: `${job.cut.toLocaleString("en")} more characters are in the ledger` })));
  const list = (pairs) => {
    const dl = make("dl");
    for (const [name, value] of pairs) {
      if (value === undefined || value === null || value === "" || value === false) continue;
      dl.append(make("dt", { text: name }), make("dd", { text: value, dir: "auto" }));
    }
    if (dl.children.length) made.push(dl);
  };
  list([
    ["Cost", cost(job)],
    ["Task", job.t],
    ["Created", job.at !== undefined && moment(job.at)],
    ["In the queue", job.tw !== undefined && lasting(job.tw)],
    ["Generating", job.tg !== undefined && lasting(job.tg)],
    ["Ended, unseen", job.tu !== undefined && lasting(job.tu)],
    ["Submissions", job.a > 1 && String(job.a)],
    ["Line", job.n !== undefined && String(job.n)],
    ["File", output && output.u && fileOf(output)],
    ["Size", output && output.w && output.h && `${output.w} × ${output.h}`],
    ["On the server until", job.x !== undefined && `${moment(job.x)} at least; kinovi download OUT fetches it`],
  ]);
  list(Object.entries(job.g || {}));
  list(job.v || []);
  return made;
}
function stopStage() {
  for (const player of byId("stage").querySelectorAll("video, audio")) {
    player.pause();
    player.removeAttribute("src");
    player.load();
  }
}
function step(change) {
  const files = (jobs[shownJob].o || []).length;
  if (shownFile + change >= 0 && shownFile + change < files) {
    shownFile += change;
  } else {
    const next = circle[circle.indexOf(shownJob) + change];
    if (next === undefined) return;
    shownJob = next;
    shownFile = change > 0 ? 0 : Math.max(0, (jobs[next].o || []).length - 1);
  }
  fill();
}
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => viewer.close());
viewer.addEventListener("close", () => {
  stopStage();
  byId("stage").replaceChildren();
  if (byId("only-picks").checked) select();
  focusJob(shownJob);
});
viewer.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const playing = event.target.closest("video, audio");
  if (event.key === "ArrowRight" && !playing) step(1);
  else if (event.key === "ArrowLeft" && !playing) step(-1);
  else if (event.key === "s" || event.key === "S") {
    const output = (jobs[shownJob].o || [])[shownFile];
    if (output && output.u) turnPick(fileOf(output));
  } else return;
  event.preventDefault();
});
let touched = null;
byId("stage").addEventListener("touchstart", (event) => {
  touched = event.touches.length === 1 ? event.touches[0].clientX : null;
}, { passive: true });
byId("stage").addEventListener("touchend", (event) => {
  if (touched === null) return;
  const moved = event.changedTouches[0].clientX - touched;
  touched = null;
  if (Math.abs(moved) > 60) step(moved < 0 ? 1 : -1);
}, { passive: true });
