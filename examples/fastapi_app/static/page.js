// The page: what the server tells about an order is what its card shows.

const WORDS = {
  queued: "Waiting", generating: "In the making", succeeded: "Almost there", failed: "It did not work",
  rejected: "Not possible", cancelled: "Cancelled", ambiguous: "Being looked into",
  expired: "Still in the making",
};
const AGAIN = new Set(["failed", "rejected", "cancelled"]);
const $ = (selector, root = document) => root.querySelector(selector);
const cards = new Map();

function show(order) {
  let card = cards.get(order.id);
  if (!card) {
    card = $("#card").content.firstElementChild.cloneNode(true);
    card.dataset.id = order.id;
    cards.set(order.id, card);
    $("#pictures").prepend(card);
    $(".cancel", card).addEventListener("click", () => cancel(order.id));
    $(".again", card).addEventListener("click", () => send(card.order.prompt, card.order.aspect_ratio));
  }
  card.order = order;
  card.dataset.status = order.status;
  card.toggleAttribute("data-again", AGAIN.has(order.status));
  card.style.setProperty("--shape", order.aspect_ratio.replace(":", "/"));
  $(".text", card).textContent = order.prompt;
  $(".state", card).textContent = WORDS[order.status] ?? order.status;
  $(".error", card).textContent = order.status === "cancelled" ? "" : order.error ?? "";
  if (order.picture && !$("img", card)) {
    const image = new Image();
    image.alt = order.prompt;
    image.decoding = "async";
    image.addEventListener("load", () => $(".frame", card).append(image));
    image.addEventListener("error", () => { $(".state", card).textContent = "The picture cannot be shown"; });
    image.src = order.picture;
  }
  tick();
}

function tick() {
  const now = Date.now() / 1000;
  for (const card of cards.values()) {
    const { status, created_at, accepted_at } = card.order;
    const since = status === "generating" ? accepted_at : status === "queued" ? created_at : null;
    const passed = since === null ? "" : `${Math.max(0, Math.round(now - since))} s`;
    if ($("time", card).textContent !== passed) $("time", card).textContent = passed;
  }
}

function account({ plan, budget, spent }) {
  $("#plan").value = plan;
  $("#credits").textContent = `${spent} of ${budget} credits`;
  $("#meter").value = spent / budget;
}

async function call(method, path, body, headers = {}) {
  const answer = await fetch(path, {
    method, headers: { "Content-Type": "application/json", ...headers },
    body: body && JSON.stringify(body),
  });
  if (answer.ok) return answer.json();
  const { detail } = await answer.json().catch(() => ({}));
  const again = answer.headers.get("Retry-After");
  throw new Error((typeof detail === "string" ? detail : "That did not work.") + (again ? ` Try again in ${again} s.` : ""));
}

async function send(prompt, aspect_ratio) {
  // The same key on every try: however often it is sent, it is one order.
  const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16)).join("-");
  say("");
  for (let attempt = 1; ; attempt++) {
    try {
      const order = await call("POST", "generations", { prompt, aspect_ratio }, { "Idempotency-Key": key });
      if (!cards.has(order.id)) show(order); // or the events were faster, and know more
      return true;
    } catch (error) {
      if (!(error instanceof TypeError) || attempt === 8) { say(error.message); return false; }
      await new Promise((go) => setTimeout(go, 500 * attempt)); // the server is being replaced
    }
  }
}

const cancel = (id) => call("DELETE", `generations/${id}`).then(() => say(""), (error) => say(error.message));
const say = (text) => { $("#said").textContent = text; };

$("#wish").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("#wish button");
  button.disabled = true;
  if (await send($("#prompt").value.trim(), $("#ratios :checked").value)) $("#prompt").value = "";
  button.disabled = false;
});
$("#prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); $("#wish").requestSubmit(); }
});
$("#plan").addEventListener("change", (event) =>
  call("PUT", "plan", { plan: event.target.value }).then(account, (error) => say(error.message)));

function listen() {
  const events = new EventSource("events");
  let late = null;
  events.addEventListener("generation", (event) => show(JSON.parse(event.data)));
  events.addEventListener("account", (event) => account(JSON.parse(event.data)));
  events.addEventListener("open", () => { clearTimeout(late); late = null; $("#away").hidden = true; });
  events.addEventListener("error", () => { // again and again, until it is back
    late ??= setTimeout(() => { $("#away").hidden = false; }, 1000);
    // It comes back by itself after a cut, but not after an answer that is no stream (a 502).
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  });
}
listen();
setInterval(tick, 1000);
