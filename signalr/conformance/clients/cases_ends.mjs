// How connections end, and what lets them come back.
import { closed, equal, fails } from "./env.mjs";

export const ends = [
  {
    name: "item147 stop ends the connection in good order",
    async run(env) {
      const c = await env.connect("/hub?name=stop-" + env.protocol);
      const end = closed(c);
      await c.stop();
      equal(await end, undefined);
    },
  },
  {
    name: "item145 item41 an abort closes without error and without return",
    async run(env) {
      const options = env.version >= 3 ? { reconnect: [0, 0] } : {};
      const c = await env.connect("/hub", options);
      const end = closed(c);
      c.send("Abort").catch(() => {});
      const error = await end;
      // Generations before 6 may see the stream's end while they still act on the Close.
      const cutOff = env.transport === "ServerSentEvents" && env.version < 6 && error?.message === "Error occurred";
      if (error && !cutOff) throw error;
    },
  },
  {
    name: "item86 item145 a close with a text shows it",
    async run(env) {
      const c = await env.connect();
      const end = closed(c);
      c.send("CloseWith", "enough", false).catch(() => {});
      const error = await end;
      if (!error?.message.includes("enough")) throw new Error(String(error?.message));
    },
  },
  {
    name: "item86 item145 allowReconnect brings the client back",
    needs: (env) => env.version >= 3.1,
    async run(env) {
      const c = await env.connect("/hub", { reconnect: [0, 50, 100] });
      const before = c.connectionId;
      const back = new Promise((resolve, reject) => {
        c.onreconnected(resolve);
        c.onclose((error) => reject(error ?? new Error("closed")));
      });
      c.send("CloseWith", "later", true).catch(() => {});
      const after = await back;
      if (!after || after === before) throw new Error("no new connection");
      equal(await c.invoke("Echo", 1), 1);
    },
  },
  {
    name: "item146 a refused connection is closed by its error",
    async run(env) {
      const c = env.builder("/closed");
      const end = closed(c);
      await c.start().then(
        () => end.then((error) => equal(error?.message.includes("Connection closed with an error."), true)),
        // Those that wait for the first message after the handshake fail to start at all.
        (error) => equal(typeof error.message, "string"),
      );
    },
  },
  {
    name: "item142 item145 a message over the limit closes with an error",
    async run(env) {
      const c = await env.connect();
      const end = closed(c);
      const text = await fails(c.invoke("Echo", "z".repeat(40000)));
      const error = await end;
      if (!error?.message.includes("Connection closed with an error.")) throw new Error(`${error?.message}; call: ${text}`);
    },
  },
  {
    name: "item137 item138 item140 an idle connection lives by pings",
    async run(env) {
      // A server that does not ping loses every try; a machine that stands still for two seconds loses one.
      for (let tries = 3; ; tries--) {
        const c = await env.connect("/quick");
        c.serverTimeoutInMilliseconds = 2000;
        c.keepAliveIntervalInMilliseconds = 300;
        const idle = new Promise((resolve) => setTimeout(resolve, 3000, "lives"));
        if ((await Promise.race([closed(c), idle])) === "lives") {
          equal(await c.invoke("Echo", 1), 1);
          return;
        }
        if (tries === 1) throw new Error("closed");
      }
    },
  },
];
