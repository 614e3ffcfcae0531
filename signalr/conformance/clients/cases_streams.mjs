// Streams in both directions.
import { collect, equal, fails } from "./env.mjs";

const numbers = (n) => [...Array(n).keys()];
// The client overlooks a stream that stands right behind another one.
const between = "and";
const uploads = (env) => env.version >= 3;
// The connection outlives whatever went wrong with a stream.
const lives = async (c) => equal(await c.invoke("Echo", "still here"), "still here");

export const streams = [
  {
    name: "item118 item83 item94 items come in order, then the end",
    async run(env) {
      const c = await env.connect();
      equal(await collect(c.stream("Count", 200)), numbers(200));
      equal(await collect(c.stream("Count", 0)), []);
      const both = await Promise.all([collect(c.stream("Count", 50)), collect(c.stream("Count", 60))]);
      equal(both, [numbers(50), numbers(60)]);
    },
  },
  {
    name: "item119 an error comes behind the items",
    async run(env) {
      const c = await env.connect();
      const error = await collect(c.stream("CountAndFail")).catch((e) => e);
      equal(error.message, "An error occurred on the server while streaming results. HubException: no more");
      equal(error.items, [0, 1]);
      await lives(c);
    },
  },
  {
    name: "item111 streaming and invoking are told apart",
    async run(env) {
      const c = await env.connect();
      equal(
        await fails(collect(c.stream("Echo", 1))),
        "The client attempted to invoke the non-streaming 'Echo' method with a streaming invocation.",
      );
      equal(
        await fails(c.invoke("Count", 1)),
        "The client attempted to invoke the streaming 'Count' method with a non-streaming invocation.",
      );
    },
  },
  {
    name: "item114 item116 item120 an endless stream holds nothing up and ends when it is canceled",
    // The MessagePack of 2018 cannot write a cancellation.
    needs: (env) => env.version >= 3 || env.protocol === "json",
    async run(env) {
      const c = await env.connect();
      let subscription;
      await new Promise((resolve) => (subscription = c.stream("Forever").subscribe({ next: resolve, complete() {}, error() {} })));
      await lives(c);
      equal(await c.invoke("Canceled"), 0);
      subscription.dispose();
      while ((await c.invoke("Canceled")) === 0);
      await lives(c);
    },
  },
  {
    name: "item165 item118 a stream that is opened first gets every value that is published next",
    // The client of 2018 sends its requests at once: over HTTP they may arrive in any order.
    needs: (env) => env.version >= 3 || env.transport === "WebSockets",
    async run(env) {
      const c = await env.connect();
      const got = collect(c.stream("Subscribe"));
      await Promise.all(numbers(100).map((n) => c.send("Publish", n)));
      await c.invoke("Finish");
      equal(await got, numbers(100));
    },
  },
  {
    name: "item121 item81 items reach the handler, and their end",
    needs: uploads,
    async run(env) {
      const c = await env.connect();
      const subject = new env.signalR.Subject();
      const sum = c.invoke("Sum", subject);
      for (const n of numbers(30)) subject.next(n);
      subject.complete();
      equal(await sum, 435);
    },
  },
  {
    name: "item121 an error of the client ends the stream",
    needs: uploads,
    async run(env) {
      const c = await env.connect();
      const subject = new env.signalR.Subject();
      const sum = c.invoke("Sum", subject);
      subject.next(1);
      subject.error(new Error("boom"));
      equal(await fails(sum), "An unexpected error occurred invoking 'Sum' on the server. HubException: boom");
      await lives(c);
    },
  },
  {
    name: "item122 a wrong number of streams",
    needs: uploads,
    async run(env) {
      const c = await env.connect();
      const { Subject } = env.signalR;
      equal(
        await fails(c.invoke("Sum", new Subject(), between, new Subject())),
        "An unexpected error occurred invoking 'Sum' on the server. HubException: Client sent 2 stream(s), Hub method expects 1.",
      );
      await lives(c);
    },
  },
  {
    name: "item126 an item of the wrong type ends its stream only",
    needs: uploads,
    async run(env) {
      const c = await env.connect();
      const subject = new env.signalR.Subject();
      const sum = c.invoke("Sum", subject);
      subject.next("no number");
      const text = await fails(sum);
      if (!text.startsWith("An unexpected error occurred invoking 'Sum' on the server.")) throw new Error(text);
      await lives(c);
    },
  },
  {
    name: "item125 item127 a handler that returns early lets the stream go",
    needs: uploads,
    async run(env) {
      const c = await env.connect();
      const subject = new env.signalR.Subject();
      equal(await c.invoke("Early", subject), "enough");
      for (const n of numbers(5)) {
        subject.next(n);
        await lives(c);
      }
      subject.complete();
      // What the client has not posted when it stops, it throws at its process. It posts one after the other.
      for (let i = 0; i < 5; i++) await lives(c);
    },
  },
  {
    name: "item128 two streams in one call",
    needs: uploads,
    async run(env) {
      const c = await env.connect();
      const [a, b] = [new env.signalR.Subject(), new env.signalR.Subject()];
      const text = c.invoke("Concat", a, between, b);
      b.next("c");
      a.next("a");
      a.next("b");
      b.next("d");
      b.complete();
      a.complete();
      equal(await text, "a b and c d");
    },
  },
  {
    name: "item128 item120 items go up and results come down in one call",
    needs: uploads,
    async run(env) {
      const c = await env.connect();
      const subject = new env.signalR.Subject();
      const got = [];
      const end = new Promise((resolve, reject) => {
        c.stream("Times", 3, subject).subscribe({
          // Each item is sent when the one before has come back: they reach the handler as they come.
          next: (n) => (got.push(n), got.length < 5 ? subject.next(got.length) : subject.complete()),
          complete: resolve,
          error: reject,
        });
      });
      subject.next(0);
      await end;
      equal(got, [0, 3, 6, 9, 12]);
    },
  },
];
