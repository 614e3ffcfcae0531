// Negotiate, credentials, redirects.
import { equal, fails } from "./env.mjs";

const webSockets = (env) => env.transport === "WebSockets";
const polls = (env) => env.transport !== "WebSockets";

// The client's own HTTP throws at a 401, before what asks for a new token sees it; an application's own returns it.
function tellsOf401(signalR) {
  const inner = new signalR.DefaultHttpClient(new signalR.HubConnectionBuilder().configureLogging(signalR.LogLevel.None).logger);
  const client = Object.create(signalR.HttpClient.prototype);
  client.getCookieString = (url) => inner.getCookieString(url);
  client.send = (request) =>
    inner.send(request).catch((error) => {
      if (error.statusCode === 401) return new signalR.HttpResponse(401, "Unauthorized");
      throw error;
    });
  return client;
}

export const http = [
  {
    name: "item3 a slash at the end of the URL",
    async run(env) {
      const c = await env.connect("/hub/");
      equal(await c.invoke("Echo", 1), 1);
    },
  },
  {
    name: "item30 without negotiation",
    needs: webSockets,
    async run(env) {
      const c = await env.connect("/hub", { http: { skipNegotiation: true } });
      equal(await c.invoke("Transport"), "WebSockets");
    },
  },
  {
    name: "item13 a redirect brings its token along",
    async run(env) {
      const c = await env.connect("/moved");
      equal(await c.invoke("WhoAmI"), "redirected");
    },
  },
  {
    name: "item17 more properties in the reply of negotiate",
    async run(env) {
      const c = await env.connect("/more");
      equal(await c.invoke("Echo", 1), 1);
    },
  },
  {
    name: "item14 an error at negotiate is the start's error",
    async run(env) {
      const text = await fails(env.connect("/refused"));
      if (!text.endsWith("not today")) throw new Error(text);
    },
  },
  {
    name: "item15 item18 a client without credentials is told Unauthorized",
    async run(env) {
      const text = await fails(env.connect("/auth"));
      if (!/Unauthorized|401/.test(text)) throw new Error(text);
    },
  },
  {
    name: "item18 item22 item23 credentials on every request",
    async run(env) {
      const c = await env.connect("/auth", { http: { accessTokenFactory: () => "good-amal" } });
      equal(await c.invoke("WhoAmI"), "amal");
      equal(await c.invoke("Echo", 1), 1);
    },
  },
  {
    name: "item24 a refused token is requested again",
    // Generations before 7 ask for each request.
    needs: (env) => polls(env) && env.version >= 7,
    async run(env) {
      let asked = 0;
      const token = env.own("good-badr");
      const c = await env.connect("/auth", {
        http: { httpClient: tellsOf401(env.signalR), accessTokenFactory: () => `${token}-${asked++}` },
      });
      equal(await c.invoke("Echo", 1), 1);
      const before = asked;
      for (let i = 0; i < before; i++) await env.control(`revoke?token=${token}-${i}`);
      equal(await c.invoke("Echo", 2), 2);
      if (asked <= before) throw new Error("no new token was asked for");
    },
  },
  {
    name: "item25 cookies of negotiate come back",
    // The client of 2018 keeps no cookies under Node.
    needs: (env) => env.browser || env.version >= 3,
    async run(env) {
      const c = await env.connect("/sticky");
      equal(await c.invoke("Echo", 1), 1);
    },
  },
  {
    name: "item26 behind a temporary redirect",
    // WebSockets follow no redirects, a page none after a preflight, and generations before 6 none at all.
    needs: (env) => polls(env) && !env.browser && env.version >= 6,
    async run(env) {
      const c = await env.connect("/temporary/hub");
      equal(await c.invoke("Echo", 1), 1);
    },
  },
  {
    name: "item20 item23 a page of another origin, with credentials",
    needs: (env) => env.browser,
    async run(env) {
      const headers = { "x-requested-with": "XMLHttpRequest", authorization: "Bearer good-page" };
      const answer = await env.fetch(env.base + "/auth/negotiate?negotiateVersion=1", { method: "POST", headers, credentials: "include" });
      equal(answer.status, 200);
      const c = await env.connect("/auth", { http: { accessTokenFactory: () => "good-page", headers: { "x-requested-with": "more" } } });
      equal(await c.invoke("WhoAmI"), "page");
    },
  },
  {
    name: "item20 item21 a page of an origin that is not allowed",
    needs: (env) => env.browser,
    async run(env) {
      await fails(env.connect("/own"));
      if (webSockets(env)) await fails(env.connect("/own", { http: { skipNegotiation: true } }));
    },
  },
];
