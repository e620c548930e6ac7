// A Faye server, the other well-known Bayeux server. Arguments: how many seconds it holds a connect (10).
import { createServer } from "node:http";
import faye from "faye";

const server = createServer();
new faye.NodeAdapter({ mount: "/faye", timeout: Number(process.argv[2] ?? 10) }).attach(server);
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ event: "listening", port: server.address().port }));
});
