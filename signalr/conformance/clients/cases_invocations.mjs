// Calls in both directions.
import { equal, fails, once } from "./env.mjs";

const generic = (method) => `An unexpected error occurred invoking '${method}' on the server.`;
const failed = (method) => `Failed to invoke '${method}' due to an error on the server.`;

// The client of 2018 posts what is sent all at once, on many connections.
const inOrder = (env) => env.version >= 3 || env.transport === "WebSockets";

export const invocations = [
  {
    name: "item1 item11 item66 item67 item171 connects by its transport and protocol",
    async run(env) {
      const c = await env.connect();
      equal(await c.invoke("Transport"), env.transport);
      equal(await c.invoke("Protocol"), env.protocol);
      if (env.version >= 3.1) equal(c.connectionId.length, 22, "length of the id");
    },
  },
  {
    name: "item82 item80 values come back as they went",
    async run(env) {
      const c = await env.connect();
      const values = [
        "", "text", "مرحبا 👋 <&>\u2028", 'quote " and \\ and \u001e', 0, 1, -1, 127, 128, 255, 256, 65535, 65536, -128, -129, -32769,
        2147483648, -2147483649, 9007199254740991, 1.5, -0.25, 1e300, true, false, null, [], [1, [2, [3]]], {}, { a: { b: [null, "c"] } },
        "x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256), "x".repeat(16000), Array(20).fill(7),
      ];
      for (const value of values) equal(await c.invoke("Echo", value), value);
      equal(await c.invoke("Add", 1, 2), 3);
    },
  },
  {
    name: "item82 nothing is nothing and null is null",
    async run(env) {
      const c = await env.connect();
      equal((await c.invoke("Void")) ?? null, null);
      equal(await c.invoke("Nil"), null);
    },
  },
  {
    name: "item105 methods are found in any case",
    async run(env) {
      const c = await env.connect();
      equal(await c.invoke("eCHO", 1), 1);
    },
  },
  {
    name: "item107 item108 item109 item110 item112 errors have the texts of .NET",
    async run(env) {
      const c = await env.connect();
      equal(await fails(c.invoke("Nope")), failed("Nope") + " HubException: Method does not exist.");
      equal(await fails(c.invoke("Add", 1)), failed("Add"));
      equal(await fails(c.invoke("Add", 1, {})), failed("Add"));
      equal(await fails(c.invoke("Fail")), generic("Fail"));
      equal(await fails(c.invoke("Public")), generic("Public") + " HubException: try <again>");
      equal(await fails(c.invoke("Panic")), generic("Panic"));
      equal(await fails(c.invoke("NotYou")), "Failed to invoke 'NotYou' because user is unauthorized");
      equal(await c.invoke("Echo", "still here"), "still here");
    },
  },
  {
    name: "item109 item108 detailed errors",
    async run(env) {
      const c = await env.connect("/detailed");
      equal(await fails(c.invoke("Fail")), generic("Fail") + " errors.errorString: secret");
      equal(
        await fails(c.invoke("Add", 1)),
        failed("Add") + " InvalidDataException: Invocation provides 1 argument(s) but target expects 2.",
      );
    },
  },
  {
    name: "item106 item165 sends are not answered and keep their order among invocations",
    needs: inOrder,
    async run(env) {
      const c = await env.connect();
      await c.send("Fail");
      await c.send("Nope");
      const sent = [];
      for (let i = 0; i < 200; i++) {
        sent.push(i);
        if (i % 2) c.send("Note", i).catch(() => {});
        else c.invoke("Note", i).catch(() => {});
      }
      equal(await c.invoke("Notes"), sent);
    },
  },
  {
    name: "item165 item113 completions come in the order of the calls",
    needs: inOrder,
    async run(env) {
      const c = await env.connect();
      const done = [];
      await Promise.all([...Array(100).keys()].map((i) => c.invoke("Echo", i).then((got) => done.push(got))));
      equal(done, [...Array(100).keys()]);
    },
  },
  {
    name: "item163 item164 item37 messages keep their order and come before the completion",
    async run(env) {
      const c = await env.connect();
      const got = [];
      c.on("Item", (i, text) => {
        if (text !== "x".repeat(i % 700)) throw new Error("text of " + i);
        got.push(i);
      });
      equal(await c.invoke("Burst", 500), 500);
      equal(got, [...Array(500).keys()]);
    },
  },
  {
    name: "item36 item65 many calls at once and one that is long",
    async run(env) {
      const c = await env.connect();
      const long = "y".repeat(30000);
      const answers = await Promise.all([...Array(20).keys()].map((i) => c.invoke("Echo", i % 5 ? "s" + i : long + i)));
      equal(answers, [...Array(20).keys()].map((i) => (i % 5 ? "s" + i : long + i)));
    },
  },
  {
    name: "item143 a result of a megabyte arrives whole",
    async run(env) {
      const c = await env.connect();
      const text = await c.invoke("Long", 1 << 20);
      equal(text.length, 1 << 20, "length");
    },
  },
  {
    name: "item35 item38 a send from the server reaches the handler with its arguments",
    async run(env) {
      const c = await env.connect();
      const got = once(c, "Said");
      await c.invoke("SayBack", "hello", { deep: [1, null] });
      equal(await got, ["hello", { deep: [1, null] }]);
    },
  },
];
