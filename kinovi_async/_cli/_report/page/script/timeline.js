// The timeline, drawn on a canvas.

const line = data.timeline;
const canvas = byId("canvas");
if (canvas) {
  const scroller = byId("scroller");
  const pen = canvas.getContext("2d");
  const AXIS = 24;
  const QUEUE = 34;
  const height = Math.max(3, Math.min(22, Math.floor(420 / line.slots)));
  const total = 10 + line.slots * height + 10 + QUEUE + AXIS;
  const inSlot = Array.from({ length: line.slots }, () => []);
  for (const bar of line.bars) inSlot[bar[1]].push(bar);
  const bad = new Set(["failed", "expired"]);
  const length = line.length || 1;
  let zoom = 1;
  let pointed = null;
  const width = () => scroller.clientWidth;
  const scale = () => ((width() - 16) * zoom) / length;
  const toX = (seconds) => 8 + seconds * scale() - scroller.scrollLeft;
  const toTime = (x) => (x - 8 + scroller.scrollLeft) / scale();

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  function drawTimeline() {
    const wide = width();
    if (!wide) return;
    const dense = window.devicePixelRatio || 1;
    byId("track").style.width = `${wide * zoom}px`;
    canvas.width = Math.round(wide * dense);
    canvas.height = Math.round(total * dense);
    canvas.style.width = `${wide}px`;
    canvas.style.height = `${total}px`;
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, wide, total);
    const from = toTime(0);
    const to = toTime(wide);
    const paints = Object.fromEntries(
      ["generating", "unseen", "failed", "waiting", "sunken", "muted", "line", "text", "surface"].map((name) => [name, color(`--${name}`)]),
    );
    drawAxis(wide, paints, from, to);
    const thin = height > 5 ? 2 : height > 3 ? 1 : 0;
    for (let slot = 0; slot < line.slots; slot++) {
      const y = 10 + slot * height;
      pen.fillStyle = paints.sunken;
      pen.fillRect(Math.max(0, toX(0)), y, Math.min(wide, toX(length)) - Math.max(0, toX(0)), height - thin);
      for (const [job, , start, done, end] of inSlot[slot]) {
        if (end < from || start > to) continue;
        const x = toX(start);
        const x2 = toX(end);
        const gap = x2 - x > 4 ? 1 : 0;
        const split = Math.min(x2, Math.max(x, toX(done)));
        pen.fillStyle = bad.has(jobs[job].s) ? paints.failed : paints.generating;
        pen.fillRect(x, y, Math.max(0.5, split - x - (split === x2 ? gap : 0)), height - thin);
        if (x2 - split > 0.3) {
          pen.fillStyle = paints.unseen;
          pen.fillRect(split, y, Math.max(0.3, x2 - split - gap), height - thin);
        }
      }
    }
    drawQueue(paints);
    if (pointed) {
      const x = toX(pointed[2]);
      pen.strokeStyle = paints.text;
      pen.lineWidth = 2;
      pen.strokeRect(x, 10 + pointed[1] * height, Math.max(2, toX(pointed[4]) - x), Math.max(3, height - thin));
    }
  }
  function drawQueue(paints) {
    const top = 10 + line.slots * height + 10;
    const most = Math.max(1, ...line.waiting.map((step) => step[1]));
    pen.fillStyle = paints.waiting;
    pen.beginPath();
    pen.moveTo(toX(0), top + QUEUE);
    let tall = 0;
    for (const [place, waiting] of line.waiting) {
      pen.lineTo(toX(place), top + QUEUE - tall);
      tall = waiting ? Math.max(1, (waiting / most) * QUEUE) : 0;
      pen.lineTo(toX(place), top + QUEUE - tall);
    }
    pen.lineTo(toX(length), top + QUEUE - tall);
    pen.lineTo(toX(length), top + QUEUE);
    pen.fill();
  }
  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
  const short = (seconds) =>
    seconds < 60 ? `${Number(seconds.toFixed(1))} s`
      : seconds < 3600 ? `${Math.floor(seconds / 60)} min${seconds % 60 ? ` ${Math.round(seconds % 60)} s` : ""}`
        : `${Math.floor(seconds / 3600)} h${Math.round((seconds % 3600) / 60) ? ` ${Math.round((seconds % 3600) / 60)} min` : ""}`;
  function drawAxis(wide, paints, from, to) {
    const step = STEPS.find((each) => each * scale() >= 78) || 172800;
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    pen.textBaseline = "alphabetic";
    const bottom = total - AXIS;
    line.stretches.forEach(([start, lasts, at], number) => {
      if (number) {
        pen.strokeStyle = paints.muted;
        pen.setLineDash([3, 3]);
        pen.beginPath();
        pen.moveTo(toX(start), 4);
        pen.lineTo(toX(start), bottom);
        pen.stroke();
        pen.setLineDash([]);
      }
      const first = Math.max(0, Math.floor((from - start) / step));
      const name = line.stretches.length > 1 ? moment(at) : "";
      for (let tick = first; tick * step <= lasts && start + tick * step <= to; tick++) {
        const x = toX(start + tick * step);
        const label = tick === 0 && name ? name : short(tick * step);
        const room = pen.measureText(label).width;
        const end = tick === 0 && name ? room : room / 2;
        if (tick > 0 && name && tick * step * scale() < pen.measureText(name).width + 40) continue;
        pen.fillStyle = paints.line;
        pen.fillRect(Math.round(x), 4, 1, bottom - 2);
        if (x + end > wide - 2 && tick > 0) continue;
        if (number < line.stretches.length - 1 && x + end > toX(start + lasts)) continue;
        pen.fillStyle = paints.muted;
        pen.textAlign = tick === 0 ? "left" : "center";
        pen.fillText(label, tick === 0 ? Math.max(8, x) : x, total - 8);
      }
    });
  }
  function tell(bar) {
    pointed = bar;
    canvas.style.cursor = bar ? "pointer" : "";
    const told = byId("bar-told");
    if (bar) {
      const job = jobs[bar[0]];
      const parts = [`slot ${bar[1] + 1}`, job.s, data.models[job.m]];
      if (job.tw !== undefined) parts.push(`${lasting(job.tw)} in the queue`);
      if (job.tg !== undefined) parts.push(`${lasting(job.tg)} generating`);
      if (job.tu !== undefined) parts.push(`${lasting(job.tu)} unseen`);
      told.replaceChildren(make("bdi", { text: job.id }), ` · ${parts.join(" · ")}`);
    }
    drawTimeline();
  }
  function under(event) {
    const box = canvas.getBoundingClientRect();
    const slot = Math.floor((event.clientY - box.top - 10) / height);
    const at = toTime(event.clientX - box.left);
    const near = 2 / scale();
    return (inSlot[slot] || []).find((bar) => at >= bar[2] - near && at <= bar[4] + near) || null;
  }
  canvas.addEventListener("pointermove", (event) => {
    const bar = under(event);
    if (bar !== pointed) tell(bar);
  });
  canvas.addEventListener("click", (event) => {
    const bar = under(event);
    if (bar) show(bar[0], 0);
  });
  scroller.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    const move = moves[event.key];
    if (event.key === "Enter" && pointed) {
      event.preventDefault();
      show(pointed[0], 0);
      return;
    }
    if (!move) return;
    event.preventDefault();
    if (!pointed) {
      tell(line.bars[0]);
    } else if (move[1]) {
      const same = inSlot[pointed[1]];
      tell(same[same.indexOf(pointed) + move[1]] || pointed);
    } else {
      const other = inSlot[pointed[1] + move[0]];
      if (other) tell(other.find((bar) => bar[4] >= pointed[2]) || other[other.length - 1]);
    }
    const x = toX(pointed[2]);
    if (x < 8 || x > width() - 40) scroller.scrollLeft += x - width() / 2;
  });
  const magnify = (factor) => {
    const middle = toTime(width() / 2);
    zoom = Math.min(64, Math.max(1, zoom * factor));
    byId("zoom-out").disabled = zoom === 1;
    byId("zoom-in").disabled = zoom === 64;
    byId("track").style.width = `${width() * zoom}px`;
    scroller.scrollLeft = 8 + middle * scale() - width() / 2;
    drawTimeline();
  };
  byId("zoom-in").addEventListener("click", () => magnify(2));
  byId("zoom-out").addEventListener("click", () => magnify(0.5));
  byId("zoom-out").disabled = true;
  scroller.addEventListener("scroll", drawTimeline, { passive: true });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTimeline);
  document.querySelector('[data-bar="bad"]').hidden = !line.bars.some((bar) => bad.has(jobs[bar[0]].s));
  document.querySelector(".timeline-ui").hidden = false;
  new ResizeObserver(drawTimeline).observe(scroller);
}
