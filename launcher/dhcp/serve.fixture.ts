/**
 * A process that serves DHCP, for tests: reads LeaseSources (a JSON array) as its argument, says what happens as JSON
 * lines on standard output, prints its counters for each line on standard input and ends when that does. A second
 * argument, `[lease, T1, T2]` in seconds, makes leases short.
 */
import { createInterface } from "node:readline";
import { lease6For } from "../dhcp6/lease.ts";
import { startDhcp6Server } from "../dhcp6/server.ts";
import { type LeaseSource, leaseFor } from "./lease.ts";
import { startDhcpServer } from "./server.ts";

const sources: readonly LeaseSource[] = JSON.parse(process.argv[2] ?? "[]");
const [leaseSeconds, renewalSeconds, rebindingSeconds]: readonly number[] = JSON.parse(
  process.argv[3] ?? "[]",
);
const times =
  leaseSeconds === undefined || renewalSeconds === undefined || rebindingSeconds === undefined
    ? {}
    : { leaseSeconds, renewalSeconds, rebindingSeconds };
const server = await startDhcpServer({
  leases: sources.map((source) => ({ ...leaseFor(source), ...times })),
});
const say = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const leases6 = sources.flatMap(({ attachment, resolvConf }) => lease6For(attachment, resolvConf) ?? []);
const servers6 = await Promise.all(leases6.map(startDhcp6Server));
for (const server6 of servers6) server6.on("leased", (event) => say({ leased6: event }));
server.on("leased", (event) => say({ leased: event }));
server.on("declined", (event) => say({ declined: event }));
say({ listening: true, uid: process.getuid?.() });
for await (const _ of createInterface({ input: process.stdin })) {
  say({ counters: server.counters(), residentBytes: process.memoryUsage.rss() });
}
for (const server6 of servers6) server6.close();
await server.close();
