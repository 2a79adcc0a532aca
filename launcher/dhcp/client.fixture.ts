/** Takes a lease with npm's `dhcp` client for the MAC and the address of old in its arguments, and prints what it was told. */
import { createRequire } from "node:module";

const dhcp = createRequire(import.meta.url)("dhcp");
const client = dhcp.createClient({
  mac: process.argv[2],
  features: ["domainName", "hostname", "mtuInterface"],
});
// Its REQUEST names the address of the lease before, not the one just offered, and leaves the server out: to a server
// that is a client which reboots (RFC 2131 section 4.3.2). Without an address of old it would name none.
client._state.address = process.argv[3];
client.on("bound", (state: unknown) => {
  process.stdout.write(JSON.stringify(state));
  client.close();
});
client.on("listening", () => client.sendDiscover());
client.on("error", (error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
client.listen();
