// A business on Microsoft's SignalR client: what its hub says goes out as lines of JSON, commands come in as such.
import * as signalR from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";
import readline from "node:readline";

const tell = (event) => process.stdout.write(JSON.stringify(event) + "\n");
let connection;
let passing = false; // over what comes between the call of Resume and its first checkpoint: it comes again

const commands = {
  async connect({ url, token, transport, protocol = "json" }) {
    connection = new signalR.HubConnectionBuilder()
      .withUrl(url, { accessTokenFactory: () => token, transport: signalR.HttpTransportType[transport] })
      .configureLogging(signalR.LogLevel.None)
      .withHubProtocol(protocol === "json" ? new signalR.JsonHubProtocol() : new MessagePackHubProtocol())
      .build();
    connection.on("MessageStatusChanged", (change) => {
      if (!passing) tell({ event: "change", change });
    });
    connection.on("Checkpoint", (text) => {
      passing = false;
      tell({ event: "checkpoint", text });
    });
    connection.on("Reset", () => tell({ event: "reset" }));
    connection.onclose((error) => tell({ event: "closed", text: error?.message ?? "" }));
    await connection.start();
    await connection.invoke("Resume", "nonsense").catch(() => {}); // start ends before the hub has begun: a call that changes nothing does not
  },
  async resume({ from }) {
    passing = from !== "";
    try {
      await connection.invoke("Resume", from);
    } catch (error) {
      passing = false;
      throw error;
    }
  },
  async invoke({ method, args }) {
    return connection.invoke(method, ...args);
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  Promise.resolve()
    .then(() => commands[command.command](command))
    .then((result) => tell({ event: "done", id: command.id, result: result ?? null }), (error) => tell({ event: "done", id: command.id, error: error.message }));
}
process.exit(0);
