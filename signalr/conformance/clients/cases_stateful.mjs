// Connections that outlive their sockets.
import { equal } from "./env.mjs";

const able = (env) => env.version >= 8 && env.transport === "WebSockets";

// onRoad connects over a road that cut ends, without the client's knowledge.
async function onRoad(env) {
  const road = await env.control("road");
  const c = env.builder("/stateful", { base: road, stateful: true, reconnect: [0] });
  // The client has it called when its first try to take the connection up again has failed.
  const lost = new Promise((_, reject) => c.onreconnecting((error) => reject(new Error("reconnects: " + error?.message))));
  lost.catch(() => {});
  await c.start();
  const cuts = [];
  const cut = () => {
    cuts.push(env.control("cut?road=" + road));
    return cuts.at(-1);
  };
  // happened says that there was something to cut each time.
  const happened = async () => {
    const sockets = await Promise.all(cuts);
    if (sockets.length === 0 || sockets.includes("0")) throw new Error(`cut ${sockets} sockets`);
  };
  return { c, lost, cut, happened };
}

export const stateful = [
  {
    name: "item12 item151 item153 item156 item157 item161 item163 point2 messages in flight to the client when its socket is cut arrive once, in order",
    needs: able,
    async run(env) {
      const { c, lost, cut, happened } = await onRoad(env);
      const id = c.connectionId;
      const got = [];
      // More than the server keeps: it waits for acknowledgements, of which the client sends one a second.
      c.on("Item", (i) => {
        got.push(i);
        if (i === 100 || i === 550) cut();
      });
      equal(await Promise.race([c.invoke("Burst", 600), lost]), 600);
      equal(got, [...Array(600).keys()]);
      equal(c.connectionId, id);
      await happened();
    },
  },
  {
    name: "item152 item154 item158 item165 point2 messages in flight to the server when the socket is cut are handled once, in order",
    needs: able,
    async run(env) {
      const { c, lost, cut, happened } = await onRoad(env);
      for (let i = 0; i < 300; i++) {
        c.send("Note", i).catch(() => {});
        if (i % 100 === 50) {
          equal(await Promise.race([c.invoke("Echo", i), lost]), i);
          await cut();
        }
      }
      equal(await Promise.race([c.invoke("Notes"), lost]), [...Array(300).keys()]);
      await happened();
    },
  },
  {
    name: "item156 item167 groups stay, and streams go on",
    needs: able,
    async run(env) {
      const { c, lost, cut, happened } = await onRoad(env);
      const group = env.own("lasting");
      await c.invoke("Join", group);
      const told = [];
      c.on("Told", (text) => told.push(text));
      const items = [];
      const end = new Promise((resolve, reject) => {
        c.stream("Count", 300).subscribe({
          next: (n) => {
            items.push(n);
            if (n === 150) cut();
          },
          complete: resolve,
          error: reject,
        });
      });
      await Promise.race([end, lost]);
      await Promise.race([c.invoke("TellGroup", group, "still in it"), lost]);
      equal(items, [...Array(300).keys()]);
      equal(told, ["still in it"]);
      await happened();
    },
  },
  {
    name: "item12 item151 a server that was not asked, or does not want to, says nothing of it",
    needs: able,
    async run(env) {
      const unwanted = await env.connect("/hub", { stateful: true });
      equal(await unwanted.invoke("Echo", 1), 1);
      const unasked = await env.connect("/stateful");
      equal(await unasked.invoke("Echo", 1), 1);
    },
  },
];
