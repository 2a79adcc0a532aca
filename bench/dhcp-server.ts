/**
 * The launcher's DHCP server in a process of its own, for the benchmark: one Lease (JSON) as its first argument,
 * `stall` or `leak` as its second for control runs. Answers each line on standard input with its counters and its heap
 * after garbage collection (--expose-gc), and ends when that does.
 */
import { createInterface } from "node:readline";
import { startDhcpServer } from "../launcher/dhcp/server.ts";
import type { Lease } from "../launcher/dhcp/types.ts";

const STALL_MS = 30;
const LEAK_BYTES = 1024;

const lease = JSON.parse(process.argv[2] ?? "{}") as Lease;
const harm = process.argv[3];
const server = await startDhcpServer({ leases: [lease] });
const ballast: string[] = [];
const harming = setInterval(() => {
  if (harm === "stall") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STALL_MS);
  if (harm === "leak") ballast.push(String(ballast.length).padEnd(LEAK_BYTES));
}, 1);
console.log(JSON.stringify({ listening: true }));
for await (const _ of createInterface({ input: process.stdin })) {
  // Twice: the first may leave what finalizers hold.
  globalThis.gc?.();
  globalThis.gc?.();
  console.log(JSON.stringify({ counters: server.counters(), heapBytes: process.memoryUsage().heapUsed }));
}
clearInterval(harming);
await server.close();
