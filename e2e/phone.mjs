// A phone on Microsoft's SignalR client, steered over standard input and output by lines of JSON: commands come in, what
// happens to the phone goes out. The Go test is the script.
import * as signalR from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";
import readline from "node:readline";
import { Reconnects } from "./reconnects.mjs";

const tell = (event) => process.stdout.write(JSON.stringify(event) + "\n");
let connection;
let acknowledge = "none"; // or "each": as messages come

function received(live, messages) {
  tell({ event: "messages", live, messages });
  if (acknowledge === "each") {
    const ids = messages.map((m) => m.id);
    connection.invoke("AcknowledgeMessages", ids).catch((error) => tell({ event: "failed", text: error.message }));
  }
}

const commands = {
  async connect({ url, token, ack = "none", transport, protocol = "json", skipNegotiation = false, delays = [300] }) {
    acknowledge = ack;
    const how = skipNegotiation
      ? { skipNegotiation, transport: signalR.HttpTransportType.WebSockets }
      : { transport: signalR.HttpTransportType[transport] };
    const reconnects = new Reconnects(delays);
    connection = new signalR.HubConnectionBuilder()
      .withUrl(url, { accessTokenFactory: () => token, ...how })
      .withAutomaticReconnect(reconnects)
      .configureLogging(signalR.LogLevel.None)
      .withHubProtocol(protocol === "json" ? new signalR.JsonHubProtocol() : new MessagePackHubProtocol())
      .build();
    connection.on("ReceiveMessage", (message) => received(true, [message]));
    connection.on("ReceivePendingMessages", (messages) => received(false, messages));
    connection.onreconnecting(() => tell({ event: "reconnecting" }));
    connection.onreconnected(() => tell(reconnects.end()));
    connection.onclose((error) => tell({ event: "closed", text: error?.message ?? "" }));
    await connection.start();
    await connection.invoke("ConnectionInfo").catch(() => {}); // start ends before the hub knows the phone; a node that is full sends it on at once
    return connection.connectionId;
  },
  async ack({ mode }) {
    acknowledge = mode;
  },
  async invoke({ method, args }) {
    return connection.invoke(method, ...(args ?? []));
  },
  async stop() {
    await connection.stop();
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  Promise.resolve()
    .then(() => commands[command.command](command))
    .then((result) => tell({ event: "done", id: command.id, result: result ?? null }), (error) => tell({ event: "done", id: command.id, error: error.message }));
}
process.exit(0);
