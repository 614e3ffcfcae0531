"use strict";
// A phone on Microsoft's SignalR client. The device token stands in the fragment of the address, which no server sees.

const element = (id) => document.getElementById(id);
const shown = new Map(); // id → the message's element: a repeat is told by its id
let connection;

/** What the token says of itself; the server checks it, the page only shows it. */
function claims(token) {
  const part = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
  return JSON.parse(atob(part));
}

function notice(text) {
  element("notice").textContent = text;
  element("notice").hidden = !text;
}

function state(name) {
  element("state").textContent = name;
  element("state").dataset.state = name;
  const off = name === "offline";
  if (name !== "online") {
    element("how").textContent = "";
  }
  element("power").textContent = off ? "Go online" : "Go offline";
  element("power").setAttribute("aria-pressed", String(off));
}

function part(parent, tag, name, text) {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  node.dir = "auto"; // Arabic runs from the right
  parent.append(node);
  return node;
}

/** Shows a message in the order of seq, once. */
function show(message) {
  if (shown.has(message.id)) {
    return;
  }
  const item = document.createElement("li");
  item.className = "message";
  item.dataset.id = message.id;
  item.dataset.seq = message.seq;
  item.dataset.priority = message.priority;
  part(item, "div", "from", message.from);
  if (message.subject) {
    part(item, "div", "subject", message.subject);
  }
  part(item, "div", "content", message.messageContent);
  const foot = part(item, "div", "foot", "");
  const again = message.attempt > 1 ? ` · attempt ${message.attempt}` : "";
  part(foot, "span", "time", `${new Date(message.createdAt).toLocaleTimeString()} · #${message.seq}${again}`);
  part(foot, "span", "receipt", "…");
  const list = element("messages");
  const after = [...list.children].find((other) => Number(other.dataset.seq) > message.seq);
  list.insertBefore(item, after ?? null);
  shown.set(message.id, item);
  item.scrollIntoView({ block: "end" });
}

function receipt(ids, name, mark) {
  for (const id of ids) {
    const node = shown.get(id)?.querySelector(".receipt");
    if (node && node.dataset.receipt !== "read") {
      node.dataset.receipt = name;
      node.textContent = mark;
      node.title = name;
    }
  }
}

/** Says that the messages are here, and, if anybody looks, that they were read. */
async function acknowledge(messages) {
  const ids = messages.map((message) => message.id);
  messages.forEach(show);
  try {
    await connection.invoke("AcknowledgeMessages", ids);
    receipt(ids, "delivered", "✓");
    await readVisible();
  } catch (error) {
    console.warn("not acknowledged, the server will send it again:", error.message);
  }
}

async function readVisible() {
  if (document.visibilityState !== "visible") {
    return;
  }
  const ids = [...shown].filter(([, item]) => item.querySelector(".receipt").dataset.receipt === "delivered").map(([id]) => id);
  for (let i = 0; i < ids.length; i += 500) {
    const some = ids.slice(i, i + 500);
    await connection.invoke("MarkAsRead", some);
    receipt(some, "read", "✓✓");
  }
}

/** Shows what was delivered earlier: the server keeps the history. */
async function history() {
  let after = 0;
  for (;;) {
    const page = await connection.invoke("Sync", after, 100);
    if (page.length === 0) {
      return;
    }
    page.forEach(show);
    after = page[page.length - 1].seq;
  }
}

/** A connection by the chosen transport and protocol. */
function make(token) {
  const transport = element("transport").value;
  const builder = new signalR.HubConnectionBuilder()
    .withUrl("/online-mobile-user", { accessTokenFactory: () => token, transport: signalR.HttpTransportType[transport] })
    .withAutomaticReconnect({ nextRetryDelayInMilliseconds: ({ previousRetryCount }) => Math.min(1000 * 2 ** previousRetryCount, 15000) })
    .configureLogging(signalR.LogLevel.Warning);
  if (element("protocol").value === "messagepack") {
    builder.withHubProtocol(new signalR.protocols.msgpack.MessagePackHubProtocol());
  }
  const made = builder.build();
  made.on("ReceiveMessage", (message) => acknowledge([message]));
  made.on("ReceivePendingMessages", acknowledge);
  made.onreconnecting(() => state("reconnecting"));
  made.onreconnected(() => how().then(() => state("online")));
  made.onclose(() => made === connection && state("offline"));
  return made;
}

/** Shows what is in use. The server is asked, as the client library keeps its transport to itself. */
async function how() {
  const info = await connection.invoke("ConnectionInfo");
  element("how").textContent = `${info.transport} · ${info.protocol}`;
}

/** Connects anew in the way that is chosen now. */
async function change(token) {
  const before = connection;
  connection = make(token);
  await before.stop();
  await online();
}

async function online() {
  const mine = connection;
  state("connecting");
  try {
    await mine.start();
    await how();
    state("online");
    notice("");
    await history();
  } catch (error) {
    if (mine !== connection) {
      return; // another way was chosen meanwhile
    }
    state("offline");
    notice(/401|Unauthorized/.test(error.message)
      ? "The server does not know this token, or it has expired. Open the link that `esh3ar serve` prints."
      : `No connection: ${error.message}`);
  }
}

async function main() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  try {
    element("number").textContent = claims(token).sub;
  } catch {
    notice("This address has no device token. Open the link that `esh3ar serve --demo` prints; it ends in #token=…");
    return;
  }
  connection = make(token);
  element("power").disabled = false;
  element("power").addEventListener("click", () => (connection.state === "Disconnected" ? online() : connection.stop()));
  for (const way of ["transport", "protocol"]) {
    element(way).disabled = false;
    element(way).addEventListener("change", () => change(token));
  }
  document.addEventListener("visibilitychange", () => connection.state === "Connected" && readVisible());
  await online();
}

window.addEventListener("hashchange", () => location.reload());
main();
