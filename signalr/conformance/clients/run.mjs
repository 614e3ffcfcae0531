// Runs all cases with one generation of a client, given as "signalr-8", against the server at a URL. What each case came
// to leaves as one line of JSON; the last line says that nothing is missing.
import { createRequire } from "node:module";
import { cases } from "./cases.mjs";
import { Env, run } from "./env.mjs";

const [client, base, combinations] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const generation = client.replace("signalr-", "");
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");

// When these were made Node had no fetch: 5 takes one that has for a browser, 6 and 7 then keep no cookies.
const { fetch } = globalThis;
if (["5", "6", "7"].includes(generation)) delete globalThis.fetch;
const signalR = require(client);
const msgpack = require("msgpack-" + generation);
const version = Number(generation);

// A case that ends stops its connection. What it had sent and does not wait for is rejected then: with an Error by the hub
// connection, with a string by the queue of a transport (signalr 9 and 10, HttpConnection.js). A case waits for all that it judges.
process.on("unhandledRejection", (reason) => {
  if ((reason?.message ?? reason) !== "Connection stopped.") throw reason;
});

await Promise.all(
  combinations.split(",").map((each) => {
    const [transport, protocol] = each.split("/");
    return run(cases, new Env({ signalR, msgpack, version, transport, protocol, base, fetch }), tell);
  }),
);
tell({ done: true });
process.exit(0);
