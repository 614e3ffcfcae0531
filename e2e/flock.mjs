// Many phones on Microsoft's SignalR client in one process, steered like the one of phone.mjs: each acknowledges what comes, and
// only what the Go test counts is told.
import * as signalR from "@microsoft/signalr";
import readline from "node:readline";
import { Reconnects } from "./reconnects.mjs";

const tell = (event) => process.stdout.write(JSON.stringify(event) + "\n");

async function phone({ url, token, delays, ...how }) {
  const reconnects = new Reconnects(delays);
  const connection = new signalR.HubConnectionBuilder()
    .withUrl(url, { accessTokenFactory: () => token, ...how })
    .withAutomaticReconnect(reconnects)
    .configureLogging(signalR.LogLevel.None)
    .build();
  const received = (live, messages) => {
    tell({ event: "messages", live, messages });
    connection.invoke("AcknowledgeMessages", messages.map((m) => m.id)).catch(() => {}); // they come again
  };
  connection.on("ReceiveMessage", (message) => received(true, [message]));
  connection.on("ReceivePendingMessages", (messages) => received(false, messages));
  connection.onreconnected(() => tell(reconnects.end()));
  connection.onclose((error) => tell({ event: "closed", text: error?.message ?? "" }));
  await connection.start();
}

const commands = {
  async connect({ url, tokens, delays, transport, skipNegotiation = false }) {
    const how = skipNegotiation
      ? { skipNegotiation, transport: signalR.HttpTransportType.WebSockets }
      : { transport: signalR.HttpTransportType[transport] };
    await Promise.all(tokens.map((token) => phone({ url, token, delays, ...how })));
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  Promise.resolve()
    .then(() => commands[command.command](command))
    .then(() => tell({ event: "done", id: command.id, result: null }), (error) => tell({ event: "done", id: command.id, error: error.message }));
}
process.exit(0);
