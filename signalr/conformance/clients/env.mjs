// What a case gets: the client under test with one transport and one protocol, and what is needed to judge it. Works in
// Node and in a page.

// Env is one client with one transport and protocol.
export class Env {
  constructor({ signalR, msgpack, version, transport, protocol, base, fetch, browser = false }) {
    Object.assign(this, { signalR, msgpack, version, transport, protocol, base, fetch, browser });
    this.open = [];
  }

  // builder returns a connection that is not started.
  builder(path = "/hub", { http = {}, reconnect, stateful, base = this.base } = {}) {
    const { signalR } = this;
    const builder = new signalR.HubConnectionBuilder()
      .withUrl(base + path, { transport: signalR.HttpTransportType[this.transport], logger: signalR.LogLevel.None, ...http })
      .configureLogging(signalR.LogLevel.None);
    if (this.protocol === "messagepack") builder.withHubProtocol(new this.msgpack.MessagePackHubProtocol());
    if (reconnect) builder.withAutomaticReconnect(reconnect);
    if (stateful) builder.withStatefulReconnect();
    const connection = builder.build();
    this.open.push(connection);
    return connection;
  }

  async connect(path, options) {
    const connection = this.builder(path, options);
    await connection.start();
    return connection;
  }

  // own makes a name that no other client uses.
  own(name) {
    return [name, this.transport, this.protocol, this.version, this.browser].join("-");
  }

  // control steers the server from outside the connection.
  async control(what) {
    const answer = await this.fetch(this.base + "/control/" + what, { method: "POST" });
    if (!answer.ok) throw new Error(`control ${what}: ${answer.status}`);
    return answer.text();
  }

  async cleanUp() {
    const open = this.open.splice(0);
    await Promise.all(open.map((c) => c.stop().catch(() => {})));
  }
}

// equal compares by structure.
export function equal(got, want, what = "value") {
  const [g, w] = [show(got), show(want)];
  if (g !== w) throw new Error(`${what}: got ${g}, want ${w}`);
}

function show(v) {
  if (v === undefined) return "undefined";
  return JSON.stringify(v, (_, x) => {
    if (x instanceof Uint8Array) return { bytes: [...x] };
    if (x && typeof x === "object" && !Array.isArray(x)) return Object.fromEntries(Object.entries(x).sort());
    return x;
  });
}

// fails returns the message of the error that a promise must end with.
export async function fails(promise) {
  try {
    await promise;
  } catch (error) {
    return error?.message ?? "";
  }
  throw new Error("no error came");
}

// once is a promise for the arguments of the next call of a client method or of an event.
export const once = (connection, method) => new Promise((resolve) => connection.on(method, (...args) => resolve(args)));
export const closed = (connection) => new Promise((resolve) => connection.onclose(resolve));

export const collect = (stream) =>
  new Promise((resolve, reject) => {
    const items = [];
    stream.subscribe({ next: (item) => items.push(item), complete: () => resolve(items), error: (error) => reject(Object.assign(error, { items })) });
  });

const patience = 60000; // never expected to pass; longer than what client and server wait for each other

// run runs all cases that a client can do, one after the other, and tells each outcome.
export async function run(cases, env, tell) {
  for (const { name, needs, run } of cases) {
    if (needs && !needs(env)) continue;
    const began = Date.now();
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("waited in vain")), patience)));
    let error = null;
    try {
      await Promise.race([run(env), late]);
    } catch (e) {
      error = String(e?.stack ?? e);
    }
    clearTimeout(timer);
    await env.cleanUp();
    tell({ transport: env.transport, protocol: env.protocol, name, error, milliseconds: Date.now() - began });
  }
}
