// The server asks the client.
import { equal } from "./env.mjs";

const answers = (env) => env.version >= 7;

export const results = [
  {
    name: "item129 item131 the client's answer is the result, though the handler holds the only slot",
    needs: answers,
    async run(env) {
      const c = await env.connect();
      c.on("Sum", (a, b) => a + b);
      c.on("SlowSum", async (a, b) => (await c.invoke("Echo", a)) + b);
      equal(await c.invoke("AskMe", "Sum"), "42");
      // The client itself calls before it answers.
      equal(await c.invoke("AskMe", "SlowSum"), "42");
      const many = await Promise.all([...Array(20)].map(() => c.invoke("AskMe", "Sum")));
      equal(many, Array(20).fill("42"));
    },
  },
  {
    name: "item130 the client's error is the error",
    needs: answers,
    async run(env) {
      const c = await env.connect();
      c.on("Throws", () => {
        throw new Error("nope");
      });
      c.on("Twice", () => 1);
      c.on("Twice", () => 2);
      equal(await c.invoke("AskMe", "Nobody"), "Client didn't provide a result.");
      equal(await c.invoke("AskMe", "Throws"), "Error: nope");
      equal(await c.invoke("AskMe", "Twice"), "Client provided multiple results.");
    },
  },
  {
    name: "item135 an answer of the wrong type",
    needs: answers,
    async run(env) {
      const c = await env.connect();
      c.on("Text", () => "no number");
      const text = await c.invoke("AskMe", "Text");
      if (!text.startsWith("Error trying to deserialize result to ")) throw new Error(text);
      equal(await c.invoke("Echo", 1), 1);
    },
  },
  {
    name: "item129 item133 another client is asked, and one that is not there",
    needs: answers,
    async run(env) {
      const [a, b] = await Promise.all([env.connect(), env.connect()]);
      await b.invoke("Echo", 1); // start ends before the hub has begun, and nobody is asked until it has
      b.on("Sum", (x, y) => x + y);
      equal(await a.invoke("Ask", b.connectionId, "Sum"), "42");
      equal(await a.invoke("Ask", "nobody", "Sum"), "Connection 'nobody' does not exist.");
    },
  },
  {
    name: "item133 a client that goes ends the wait",
    needs: answers,
    async run(env) {
      const [a, b] = await Promise.all([env.connect(), env.connect()]);
      await b.invoke("Echo", 1); // start ends before the hub has begun, and nobody is asked until it has
      const asked = new Promise((resolve) => b.on("Sum", () => (resolve(), new Promise(() => {}))));
      const id = b.connectionId;
      const result = a.invoke("Ask", id, "Sum");
      await asked;
      await b.stop();
      equal(await result, `Connection '${id}' disconnected.`);
    },
  },
];
