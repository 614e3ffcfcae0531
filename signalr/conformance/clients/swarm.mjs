// Many of Microsoft's clients, over all transports, that come back by their own automatic reconnect. Says "ready" when all
// are connected and "back" when all are again, and have been answered. Ends with its standard input.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const signalR = require("signalr-10");
const [base, count] = process.argv.slice(2);
const transports = ["WebSockets", "WebSockets", "WebSockets", "ServerSentEvents", "LongPolling"];
const retry = { nextRetryDelayInMilliseconds: ({ elapsedMilliseconds }) => (elapsedMilliseconds < 30000 ? 100 + Math.random() * 100 : null) };

const clients = [...Array(Number(count)).keys()].map((i) => {
  const c = new signalR.HubConnectionBuilder()
    .withUrl(base + "/hub", { transport: signalR.HttpTransportType[transports[i % transports.length]] })
    .withAutomaticReconnect(retry)
    .configureLogging(signalR.LogLevel.None)
    .build();
  c.back = new Promise((resolve, reject) => {
    c.onreconnected(resolve);
    c.onclose((error) => reject(new Error(`${transports[i % transports.length]} closed: ${error?.message}`)));
  });
  c.back.catch(() => {});
  return c;
});
const fail = (error) => {
  console.log("failed:", error.message);
  process.exit(1);
};

await Promise.all(clients.map((c) => c.start())).catch(fail);
console.log("ready");
await Promise.all(clients.map((c) => c.back.then(() => c.invoke("Echo", "here again")))).catch(fail);
console.log("back");
process.stdin.resume();
process.stdin.on("end", async () => {
  await Promise.all(clients.map((c) => c.stop()));
  process.exit(0);
});
