// The demo page of `halley dev`: an ordinary CometD application. It knows nothing of Kafka, only of channels.
// The ids and data attributes that tests rely on are listed at the top of index.html.

const byId = (id) => document.getElementById(id);

// === What is shown at most ===

const SPARK_POINTS = 48;
const LOG_LINES = 200;
const CHAT_LINES = 60;
const ORDER_ROWS = 40;
const EVENT_ROWS = 80;
const RATE_WINDOW_MS = 3000;

// === Small helpers ===

/** An element with a class, attributes and children (text or nodes). Text stays text: records are not to be trusted. */
function element(name, className, attributes = {}, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const isObject = (value) => value !== null && typeof value === "object";
const lastSegment = (channel) => channel.slice(channel.lastIndexOf("/") + 1);
const clock = (time) => new Date(Number.isFinite(time) ? time : Date.now()).toLocaleTimeString([], { hourCycle: "h23" });
const money = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** Runs `draw` before the next paint, once however often it is asked for: a burst of events is one redraw. */
function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

/** A list that grows at its end, keeps its latest `most` items and stays scrolled down unless the reader went up. */
function tail(list, most) {
  let waiting = [];
  const draw = oncePerFrame(() => {
    const following = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
    list.append(...waiting);
    waiting = [];
    while (list.childElementCount > most) list.firstElementChild.remove();
    if (following) list.scrollTop = list.scrollHeight;
  });
  return (item) => {
    waiting.push(item);
    if (waiting.length > most) waiting.shift();
    draw();
  };
}

/** "404:/x:unknown_channel", Bayeux's form of an error, in words. */
function errorText(message) {
  const typed = /^(\d{3}):([^:]*):(.*)$/.exec(message.error ?? "");
  if (typed) return `${typed[1]} ${typed[3].replaceAll("_", " ")}`;
  if (message.error) return message.error;
  return message.failure ? "no answer from the gateway" : "refused";
}

// === Prices ===

const prices = new Map();

function onPrice({ channel, data }) {
  const symbol = lastSegment(channel);
  const value = Number(isObject(data) ? data.price : data);
  if (data === null) {
    prices.get(symbol)?.tile.remove();
    prices.delete(symbol);
  } else if (Number.isFinite(value)) {
    const stock = prices.get(symbol) ?? newStock(symbol, data, value);
    stock.direction = value > stock.price ? "up" : value < stock.price ? "down" : stock.direction;
    stock.price = value;
    stock.history.push(value);
    if (stock.history.length > SPARK_POINTS) stock.history.shift();
    stock.dirty = true;
    drawPrices();
  }
}

function newStock(symbol, data, value) {
  const line = svg("polyline", { class: "line" });
  const area = svg("polygon", { class: "area" });
  const open = svg("line", { class: "open", x1: 0, x2: 100 });
  const spark = svg("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" });
  spark.append(area, open, line);
  const price = element("span", "price");
  const change = element("span", "change");
  const tile = element("li", "tile", { "data-symbol": symbol },
    element("span", "symbol", {}, symbol), change, element("span", "name", {}, data.name ?? ""), price, spark);
  const stock = { tile, price: value, priceText: price, change, line, area, open, history: [], direction: "flat" };
  stock.opening = Number.isFinite(data.open) ? data.open : value;
  prices.set(symbol, stock);
  // Tiles keep the order of their symbols, whatever order they first come in.
  const after = [...byId("prices").children].find((other) => other.dataset.symbol > symbol);
  byId("prices").insertBefore(tile, after ?? null);
  return stock;
}

const drawPrices = oncePerFrame(() => {
  for (const stock of prices.values()) {
    if (!stock.dirty) continue;
    stock.dirty = false;
    const percent = (stock.price / stock.opening - 1) * 100;
    stock.priceText.textContent = money.format(stock.price);
    stock.change.textContent = `${percent < 0 ? "▼" : "▲"} ${Math.abs(percent).toFixed(2)}%`;
    stock.tile.dataset.trend = percent < 0 ? "down" : "up";
    stock.tile.dataset.direction = stock.direction;
    // Two animations of one look take turns: giving the other one starts the flash again without a forced layout.
    stock.tile.dataset.flash = stock.tile.dataset.flash === "a" ? "b" : "a";
    drawSpark(stock);
  }
});

function drawSpark({ history, opening, line, area, open }) {
  const low = Math.min(opening, ...history);
  const range = Math.max(opening, ...history) - low || 1;
  const y = (value) => (28 - ((value - low) / range) * 26).toFixed(2);
  // The first points start at the right; a dozen fill the width.
  const span = Math.max(history.length, 12) - 1;
  const x = (at) => (100 - ((history.length - 1 - at) / span) * 100).toFixed(2);
  const points = history.map((value, at) => `${x(at)},${y(value)}`).join(" ");
  line.setAttribute("points", points);
  area.setAttribute("points", `${x(0)},30 ${points} 100,30`);
  open.setAttribute("y1", y(opening));
  open.setAttribute("y2", y(opening));
}

// === Orders ===

const orderRows = new Map();

/** Each record of an order replaces its row and moves it to the top. */
function onOrder({ channel, data }) {
  const [, , region, id] = channel.split("/");
  const key = `${region}/${id}`;
  orderRows.get(key)?.remove();
  orderRows.delete(key);
  if (!isObject(data)) return;
  const row = orderRow(id, region, data);
  orderRows.set(key, row);
  byId("orders").prepend(row);
  if (orderRows.size > ORDER_ROWS) {
    const [oldest, last] = orderRows.entries().next().value; // A Map keeps the order of insertion.
    orderRows.delete(oldest);
    last.remove();
  }
}

function orderRow(id, region, { item = "", quantity = 1, total, currency = "", status = "" }) {
  const sum = Number.isFinite(total) ? money.format(total) : "";
  return element("tr", "fresh", { "data-order": id, "data-region": region, "data-status": status },
    element("td", "id", {}, id),
    element("td", "region", {}, region),
    element("td", "item", {}, quantity > 1 ? `${quantity} × ${item}` : String(item)),
    element("td", "number", {}, sum, element("span", "unit", {}, ` ${currency}`)),
    element("td", "", {}, element("span", "step", {}, String(status))));
}

// === Log ===

const addLogLine = tail(byId("log"), LOG_LINES);

function onLog({ channel, data }) {
  const line = isObject(data) ? data : { message: data };
  const level = String(line.level ?? "info");
  const text = typeof line.message === "string" ? line.message : JSON.stringify(data);
  addLogLine(element("li", "", { "data-level": level },
    element("time", "", {}, clock(line.time)), " ",
    element("span", "level", {}, level), " ",
    element("span", "app", {}, String(line.app ?? lastSegment(channel))), " ",
    element("span", "message", {}, text)));
}

// === Chat ===

const addChatLine = tail(byId("chat"), CHAT_LINES);
const me = `guest-${Math.floor(Math.random() * 900 + 100)}`;

function onChat({ data }) {
  const line = isObject(data) ? data : { text: data };
  const from = String(line.from ?? "someone");
  const text = typeof line.text === "string" ? line.text : JSON.stringify(data);
  addChatLine(element("li", from === me ? "mine" : "", {},
    element("b", "", {}, from === me ? "you" : from), " ",
    element("span", "text", {}, text), " ",
    element("time", "", {}, clock(line.time))));
}

function publish(event) {
  event.preventDefault();
  const text = byId("chat-input").value.trim();
  if (text === "") return;
  byId("chat-input").value = "";
  const ack = byId("chat-ack");
  ack.dataset.successful = "";
  ack.textContent = "Waiting for Kafka …";
  const started = performance.now();
  bayeux.publish(`/chat/${byId("chat-room").value}`, { from: me, text, time: Date.now() }, (reply) => {
    const took = `${(performance.now() - started).toFixed(1)} ms`;
    const at = reply.ext?.kafka;
    ack.dataset.successful = String(reply.successful);
    ack.textContent = reply.successful
      ? `Acknowledged by Kafka in ${took}${at ? `, ${at.topic}-${at.partition} offset ${at.offset}` : ""}`
      : `Not published: ${errorText(reply)} (${took})`;
    if (!reply.successful && byId("chat-input").value === "") byId("chat-input").value = text;
  });
}

// === What goes over the wire ===

const deliveries = [];
const events = [];

function showRate() {
  const since = performance.now() - RATE_WINDOW_MS;
  const first = deliveries.findIndex((time) => time >= since);
  deliveries.splice(0, first < 0 ? deliveries.length : first);
  const rate = deliveries.length / (RATE_WINDOW_MS / 1000);
  byId("rate").textContent = rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en");
}

const drawEvents = oncePerFrame(() => {
  const list = byId("events");
  list.prepend(...events.reverse());
  events.length = 0;
  while (list.childElementCount > EVENT_ROWS) list.lastElementChild.remove();
});

/** Lists a message. A clientId is a secret, on a demo page too. */
function showMessage(direction, message) {
  const { channel, ...rest } = message;
  if (rest.clientId) rest.clientId = "…";
  events.push(element("li", "", { "data-channel": channel, "data-direction": direction },
    element("time", "", {}, clock()), " ",
    element("span", "arrow", { title: direction === "out" ? "sent" : "received" }, direction === "out" ? "→" : "←"), " ",
    element("b", "", {}, channel), " ",
    element("span", "rest", {}, JSON.stringify(rest))));
  if (events.length > EVENT_ROWS) events.shift();
  drawEvents();
}

/** Of what comes in, a delivery has `data`; replies have `successful`. */
const isDelivery = (message) => message.data !== undefined && message.successful === undefined;

/** On long-polling every delivery comes with a poll: as routine as the deliveries are. */
const isPoll = (message) => message.channel === "/meta/connect" && message.successful !== false
  && bayeux.getTransport()?.type === "long-polling";

const listsRoutine = () => byId("events-routine").checked;

/** A cometd.js extension that sees every message. */
const wire = {
  outgoing(message) {
    if (listsRoutine() || !isPoll(message)) showMessage("out", message);
    return message;
  },
  incoming(message) {
    if (isDelivery(message)) deliveries.push(performance.now());
    if (listsRoutine() || !(isPoll(message) || isDelivery(message))) showMessage("in", message);
    return message;
  },
};

// === The connection ===

let bayeux;

function showState(state, text = state) {
  byId("status").dataset.state = state;
  byId("status").querySelector(".text").textContent = text;
  const transport = bayeux?.getTransport()?.type ?? "";
  byId("transport").dataset.transport = transport;
  for (const link of byId("transport").querySelectorAll("a")) {
    link.ariaCurrent = link.dataset.transport === transport ? "true" : null;
  }
}

/** A panel's subscription: its channel can change, its state is shown beside the title. */
class Subscription {
  #panel;
  #channel;
  #onEvent;
  #handle;

  constructor(panel, channel, onEvent) {
    this.#panel = document.querySelector(`[data-panel=${panel}] .channel`);
    this.#channel = channel;
    this.#onEvent = onEvent;
  }

  /** Subscribes. To be called after every handshake: a new session has no subscriptions, and cometd.js has forgotten the old ones. */
  make() {
    this.#show("pending");
    const channel = this.#channel;
    this.#handle = bayeux.subscribe(channel, this.#onEvent, (reply) => {
      if (channel === this.#channel) this.#show(reply.successful ? "ok" : "refused", reply.successful ? "" : errorText(reply));
    });
  }

  move(channel) {
    this.#channel = channel;
    if (this.#handle) {
      bayeux.batch(() => {
        bayeux.unsubscribe(this.#handle);
        this.make();
      });
    }
  }

  #show(state, problem = "") {
    this.#panel.dataset.state = state;
    this.#panel.textContent = this.#channel;
    this.#panel.title = problem;
    if (problem) this.#panel.append(element("span", "problem", {}, problem));
  }
}

const subscriptions = {
  prices: new Subscription("prices", "/prices/*", onPrice),
  orders: new Subscription("orders", "/orders/**", onOrder),
  log: new Subscription("log", "/logs/**", onLog),
  chat: new Subscription("chat", "/chat/lobby", onChat),
};

function connect({ CometD }) {
  bayeux = new CometD();
  const asked = new URLSearchParams(location.search).get("transport");
  const types = ["websocket", "long-polling"];
  const wanted = types.includes(asked) ? [asked] : types;
  for (const type of bayeux.getTransportTypes()) {
    if (!wanted.includes(type)) bayeux.unregisterTransport(type);
  }
  bayeux.configure({ url: new URL("/cometd", location.href).href, logLevel: "warn" });
  bayeux.registerExtension("wire", wire);

  bayeux.addListener("/meta/handshake", (message) => {
    if (message.successful) {
      bayeux.batch(() => Object.values(subscriptions).forEach((subscription) => subscription.make()));
    } else {
      showState("reconnecting", `connecting: ${errorText(message)}`);
    }
  });
  bayeux.addListener("/meta/connect", (message) => {
    if (bayeux.isDisconnected()) return;
    showState(message.successful ? "connected" : "reconnecting");
  });
  bayeux.addListener("/meta/disconnect", () => showState("disconnected"));

  byId("orders-filter").addEventListener("change", ({ target }) => {
    orderRows.clear();
    byId("orders").replaceChildren();
    subscriptions.orders.move(target.value === "all" ? "/orders/**" : `/orders/${target.value}/*`);
  });
  byId("chat-room").addEventListener("change", ({ target }) => {
    if (target.reportValidity()) subscriptions.chat.move(`/chat/${target.value}`);
  });
  byId("chat-form").addEventListener("submit", publish);
  addEventListener("pagehide", () => bayeux.disconnect());
  addEventListener("pageshow", ({ persisted }) => persisted && bayeux.handshake());
  setInterval(showRate, 500);

  showState("connecting");
  bayeux.handshake();
}

const client = await import("/node_modules/cometd/cometd.js").catch(() => null);
if (client) {
  connect(client);
} else {
  byId("no-client").hidden = false;
  document.querySelector("main").hidden = true;
  showState("no-client", "no client");
}
