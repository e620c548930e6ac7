// A Faye server, the other well-known Bayeux server, for the tools of the command line.
import { createServer } from "node:http";
import faye from "faye";

const server = createServer();
new faye.NodeAdapter({ mount: "/faye", timeout: 10 }).attach(server);
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ event: "listening", port: server.address().port }));
});
