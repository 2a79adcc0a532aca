/**
 * What qemu itself has said: libvirt keeps its standard error in a file of the domain's, below the command line that it
 * was started with. The file goes with the pod, so how a crash came about has to be read before.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { daemonPaths } from "./daemon.ts";

/** What is read of a log's end. A guest may have had qemu complain for days. */
const TAIL_BYTES = 16 * 1024;
const MAX_LINES = 3;
const MAX_LINE_CHARACTERS = 300;

/**
 * The last lines that the qemu of a libvirtd with one domain wrote, of printable characters; empty where it wrote none,
 * as when a signal ends it. Undefined where that can't be read. Synchronous: it is read once, between an event and what
 * is made of it.
 */
export function readLastWords(runtimeDirectory: string): string | undefined {
  const folder = join(daemonPaths(runtimeDirectory).cache, "libvirt", "qemu", "log");
  try {
    const [name] = readdirSync(folder).filter((one) => one.endsWith(".log"));
    return name === undefined ? undefined : lastWords(tailOf(join(folder, name)));
  } catch {
    return undefined;
  }
}

function tailOf(path: string): string {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    return tail.toString("utf8", 0, readSync(file, tail, 0, tail.length, size - tail.length));
  } finally {
    closeSync(file);
  }
}

/** Of a log, or of its end; pure. */
export function lastWords(log: string): string {
  const lines = log.split("\n");
  // The command line goes over many lines, each but the last continued; it may name what is nobody else's business.
  const command = lines.findLastIndex((line) => line.endsWith("\\"));
  return lines
    .slice(command === -1 ? 0 : command + 2)
    .filter((line) => line.trim() !== "" && !isLibvirts(line))
    .slice(-MAX_LINES)
    .map((line) => printable(line).slice(0, MAX_LINE_CHARACTERS))
    .join(" | ");
}

/** libvirt's own lines tell their time with a space in it, qemu's with a T. */
function isLibvirts(line: string): boolean {
  return /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+0000: /.test(line);
}

/** Without the time: the events of the pod have it. */
function printable(line: string): string {
  return line.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z /, "").replace(/[^\x20-\x7e]/g, "?");
}
