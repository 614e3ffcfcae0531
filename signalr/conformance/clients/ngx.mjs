// ngx-signalr-websocket, an implementation that shares no code with Microsoft's: WebSockets, JSON, negotiate version 0. It is
// made for pages; Node lends it what it asks of one.
import { createRequire } from "node:module";
import { equal } from "./env.mjs";

const require = createRequire(import.meta.url);
const [base] = process.argv.slice(2);
globalThis.window = { location: { href: base } };
globalThis.WebSocket ??= require(require.resolve("ws", { paths: [require.resolve("signalr-10")] }));
const { DefaultHttpPostClient, SignalrClient } = require("ngx-signalr-websocket");
const { firstValueFrom, take, toArray } = require("rxjs");

const connect = (path, token) => firstValueFrom(SignalrClient.create(new DefaultHttpPostClient()).connect(base + path, token));
const opened = async (path, token) => {
  const connection = await connect(path, token);
  await firstValueFrom(connection.open$);
  return connection;
};

const cases = [
  {
    name: "item5 item30 item67 negotiates without a version and invokes",
    async run() {
      const c = await opened("/hub");
      equal(await firstValueFrom(c.invoke("Echo", { a: ["b", null] })), { a: ["b", null] });
      equal(await firstValueFrom(c.invoke("Transport")), "WebSockets");
      c.close();
    },
  },
  {
    name: "item3 a slash at the end of the URL",
    async run() {
      const c = await opened("/hub/");
      equal(await firstValueFrom(c.invoke("Add", 1, 2)), 3);
      c.close();
    },
  },
  {
    name: "item23 the token in the query",
    async run() {
      const c = await opened("/auth", "good-ngx");
      equal(await firstValueFrom(c.invoke("WhoAmI")), "ngx");
      c.close();
    },
  },
  {
    name: "item109 an error reaches the caller",
    async run() {
      const c = await opened("/hub");
      const text = await firstValueFrom(c.invoke("Public")).catch((e) => e.message);
      equal(text, "An unexpected error occurred invoking 'Public' on the server. HubException: try <again>");
      c.close();
    },
  },
  {
    name: "item163 item76 messages under their exact name, in order",
    async run() {
      const c = await opened("/hub");
      const all = firstValueFrom(c.on("Item").pipe(take(300), toArray()));
      c.send("Burst", 300);
      equal((await all).map(([i]) => i), [...Array(300).keys()]);
      c.close();
    },
  },
  {
    name: "item147 its Close ends the connection",
    async run() {
      const c = await opened("/hub");
      const end = firstValueFrom(c.close$);
      c.close();
      equal((await end).code, 1000);
    },
  },
];

for (const { name, run } of cases) {
  const error = await run().then(() => null, (e) => String(e?.stack ?? e));
  process.stdout.write(JSON.stringify({ transport: "WebSockets", protocol: "json", name, error }) + "\n");
}
process.stdout.write(JSON.stringify({ done: true }) + "\n");
process.exit(0);
