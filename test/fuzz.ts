/**
 * The first part of `make soak`: for FUZZ_MINUTES (10) the DHCP server is shown datagrams that nobody thought of. Ends
 * with 1 when it throws, miscounts, answers what deserves no answer, or answers amiss.
 */
import { fuzzServer } from "../launcher/dhcp/fuzz.fixture.ts";

const MINUTE_MS = 60_000;

const minutes = Number(process.env["FUZZ_MINUTES"] ?? "10");
if (!(minutes > 0))
  throw new Error(`FUZZ_MINUTES is ${process.env["FUZZ_MINUTES"]}, not a number of minutes`);
const started = Date.now();
const tell = (line: string): void => console.error(`${Math.round((Date.now() - started) / 1000)} s: ${line}`);
try {
  const datagrams = await fuzzServer(started + minutes * MINUTE_MS, tell);
  console.log(`${datagrams} passed, 0 failed`);
} catch (error) {
  console.log(`✖ ${error instanceof Error ? error.message : String(error)}`);
  console.log("0 passed, 1 failed");
  process.exitCode = 1;
}
