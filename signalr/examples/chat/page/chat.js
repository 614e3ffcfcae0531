"use strict";
// The client's side of the chat: Microsoft's client, and what the hub in hub.go has to offer.

const element = (id) => document.getElementById(id);
let connection;
let room;

function notice(text) {
  element("notice").textContent = text;
}

function line(parent, tag, name, text) {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  node.dir = "auto";
  parent.append(node);
  return node;
}

function showSaid(message) {
  const item = line(element("said"), "li", "", "");
  line(item, "span", "who", message.who);
  line(item, "span", "text", message.text);
  // In MessagePack a time arrives as a Date, in JSON as text.
  item.title = new Date(message.at).toLocaleString();
  item.scrollIntoView({ block: "end" });
}

function showPresent(names) {
  element("present").replaceChildren(...names.map((name) => {
    const item = document.createElement("li");
    const button = line(item, "button", "", name);
    button.title = `Ask ${name} something`;
    button.addEventListener("click", () => ask(name));
    return item;
  }));
}

/** Asks another member through the server, which asks that member's page. */
async function ask(name) {
  const question = window.prompt(`What do you ask ${name}?`);
  if (question) {
    try {
      notice(`${name} answers: ${await connection.invoke("Ask", name, question)}`);
    } catch (error) {
      notice(error.message);
    }
  }
}

function make(name, protocol) {
  const builder = new signalR.HubConnectionBuilder()
    .withUrl("chat", { accessTokenFactory: () => name })
    .withAutomaticReconnect();
  if (protocol === "messagepack") {
    builder.withHubProtocol(new signalR.protocols.msgpack.MessagePackHubProtocol());
  }
  const made = builder.build();
  made.on("said", showSaid);
  made.on("present", (where, names) => where === room && showPresent(names));
  made.on("question", (who, question) => window.prompt(`${who} asks: ${question}`) ?? "no answer"); // what it returns goes back
  made.onreconnecting(() => { element("state").textContent = "reconnecting"; });
  made.onreconnected(entered); // groups belong to a connection, and this is a new one
  made.onclose(() => { element("state").textContent = "offline"; });
  return made;
}

async function entered() {
  showPresent(await connection.invoke("Enter", room));
  connection.stream("Clock", 1).subscribe({
    next: (time) => { element("state").textContent = `online · server time ${time}`; },
    complete: () => {},
    error: () => {}, // the connection has ended; it says so itself
  });
}

element("join").addEventListener("submit", async (event) => {
  event.preventDefault();
  notice("");
  room = element("room").value.trim();
  connection = make(element("name").value.trim(), element("protocol").value);
  try {
    await connection.start();
    await entered();
    element("title").textContent = room;
    element("join").hidden = true;
    element("chat").hidden = false;
    element("text").focus();
  } catch (error) {
    notice(error.message);
    await connection.stop();
  }
});

element("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = element("text").value;
  element("text").value = "";
  try {
    await connection.invoke("Say", room, text);
  } catch (error) {
    notice(error.message);
  }
});
