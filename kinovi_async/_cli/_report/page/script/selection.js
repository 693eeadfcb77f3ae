// Which jobs are shown, in which order.

const texts = [];
function textOf(place) {
  if (texts[place] === undefined) {
    const job = jobs[place];
    texts[place] = [
      job.id, job.p, data.models[job.m], job.t, job.e, job.s, job.f,
      ...Object.values(job.g || {}), ...(job.v || []).map((pair) => pair[1]),
    ].filter(Boolean).join("\n").toLocaleLowerCase();
  }
  return texts[place];
}
let reason = null;
let chosen = [];

function matching() {
  const words = byId("search").value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const status = byId("status").value;
  const model = byId("model").value;
  const tag = byId("tag").value ? JSON.parse(byId("tag").value) : null;
  const only = byId("only-picks").checked;
  const found = [];
  for (let place = 0; place < jobs.length; place++) {
    const job = jobs[place];
    if (status && job.s !== status) continue;
    if (model && job.m !== Number(model)) continue;
    if (tag && ((job.g || {})[tag[0]] ?? null) !== tag[1]) continue;
    if (reason !== null && job.r !== reason) continue;
    if (only && !(job.o || []).some((output) => output.u && picks.has(fileOf(output)))) continue;
    if (words.length && !words.every((word) => textOf(place).includes(word))) continue;
    found.push(place);
  }
  return found;
}
const KEYS = {
  new: (job) => job.at || 0,
  cost: (job) => worth(job, job.c ?? job.cm ?? 0),
  time: (job) => job.tg || 0,
};
function select() {
  chosen = matching();
  const key = KEYS[byId("order").value];
  if (key) chosen.sort((one, other) => key(jobs[other]) - key(jobs[one]) || one - other);
  const sum = (of) => chosen.reduce((total, place) => total + of(jobs[place]), 0);
  const charged = sum((job) => job.c || 0);
  const all = chosen.length === jobs.length ? "" : ` of ${jobs.length.toLocaleString("en")}`;
  byId("found").textContent = `${chosen.length.toLocaleString("en")}${all} ${jobs.length === 1 ? "job" : "jobs"}, ${credits(charged)} (${dollars(sum((job) => worth(job, job.c || 0)))})`;
  byId("reason-note").hidden = reason === null;
  if (reason !== null) byId("reason-note").firstElementChild.textContent = data.reasons[reason].title;
  layOut();
}
