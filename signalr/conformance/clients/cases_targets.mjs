// Groups and users.
import { equal } from "./env.mjs";

// told collects what a client is told.
function told(c) {
  const list = [];
  c.on("Told", (text) => list.push(text));
  return list;
}

export const targets = [
  {
    name: "item167 item168 a group's members are told, from joining to leaving",
    async run(env) {
      const group = env.own("room");
      const [a, b] = await Promise.all([env.connect(), env.connect()]);
      const [atA, atB] = [told(a), told(b)];
      await a.invoke("TellGroup", group, "nobody is there");
      await a.invoke("Join", group);
      await a.invoke("Join", group);
      await b.invoke("Join", group);
      await a.invoke("TellGroup", group, "one");
      await a.invoke("TellGroup", group.toUpperCase(), "to another group");
      await a.invoke("TellOthers", group, "two");
      await b.invoke("Leave", group);
      await b.invoke("Leave", group);
      await a.invoke("TellGroup", group, "three");
      await b.invoke("TellGroup", group, "four");
      equal(await a.invoke("Echo", "sync"), "sync");
      equal(await b.invoke("Echo", "sync"), "sync");
      equal(atA, ["one", "three", "four"]);
      equal(atB, ["one", "two"]);
    },
  },
  {
    name: "item166 item163 broadcasts reach every member in order",
    async run(env) {
      const group = env.own("choir");
      const members = await Promise.all([env.connect(), env.connect(), env.connect()]);
      const lists = members.map(told);
      for (const c of members) await c.invoke("Join", group);
      await members[0].invoke("Broadcast", group, 100);
      for (const c of members) equal(await c.invoke("Echo", "sync"), "sync");
      for (const list of lists) equal(list, [...Array(100).keys()]);
    },
  },
  {
    name: "item168 item169 a user is told on every connection, a client on one",
    async run(env) {
      const name = env.own("good-u").replace(/^good-/, "").replaceAll("-", "_");
      const auth = { http: { accessTokenFactory: () => "good-" + name } };
      const [a, b, stranger] = await Promise.all([
        env.connect("/auth", auth), env.connect("/auth", auth), env.connect("/auth", { http: { accessTokenFactory: () => "good-stranger" } }),
      ]);
      const lists = [a, b, stranger].map(told);
      await stranger.invoke("TellUser", name, "hello");
      await stranger.invoke("TellUser", "nobody at all", "hello");
      if (env.version >= 3.1) await stranger.invoke("TellClient", a.connectionId, "you alone");
      for (const c of [a, b, stranger]) equal(await c.invoke("Echo", "sync"), "sync");
      equal(lists, [env.version >= 3.1 ? ["hello", "you alone"] : ["hello"], ["hello"], []]);
    },
  },
];
