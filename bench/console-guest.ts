/** A guest's console as a person has it: keys that come back, and a flood. */
import { bootGuest, type Machine } from "../images/guest-tiny/boot.ts";
import type { Subresources } from "../test/harness/subresource.ts";

/** What a key makes the guest do: its terminal driver sends it back, and no program looks at it. */
const QUIET_READER = "stty -echo; echo $((6 * 7))-ready; stty echo; cat >/dev/null\n";
const ECHO_DEADLINE_MS = 10_000;
/** Of a person who types fast. */
const KEY_INTERVAL_MS = 20;
const LINE = "0123456789abcde";
const LINE_BYTES = LINE.length + 1;
const MIB = 1024 * 1024;

/** Milliseconds from key to echo, one after the other. */
export async function echoes(api: Subresources, name: string, keys: number): Promise<number[]> {
  const session = await api.session(`virtualmachineinstances/${name}/console`);
  session.send(`\n${QUIET_READER}`);
  await session.expect(/42-ready/);
  await pause(500);
  const samples: number[] = [];
  for (let i = 0; i < keys; i++) {
    const before = session.received.length;
    const typedAt = performance.now();
    session.send(`${i}\n`);
    await session.expect(new RegExp(`^[^]{${before},}\\b${i}\\r\\n`), ECHO_DEADLINE_MS);
    samples.push(performance.now() - typedAt);
    await pause(KEY_INTERVAL_MS);
  }
  session.send("\x03");
  await session.expect(/\^C/);
  session.websocket.close();
  await session.closed();
  return samples;
}

/** The same of the guest under bare qemu, at its serial port itself. */
export async function bareEchoes(machine: Machine, keys: number): Promise<number[]> {
  await using guest = await bootGuest(machine);
  await guest.line(/http ready/);
  guest.type(`\n${QUIET_READER}`);
  await guest.line(/42-ready/);
  await pause(500);
  const samples: number[] = [];
  for (let i = 0; i < keys; i++) {
    const from = guest.lines.length;
    const typedAt = performance.now();
    guest.type(`${i}\n`);
    await guest.line(new RegExp(`^${i}\\r?$`), from, ECHO_DEADLINE_MS);
    samples.push(performance.now() - typedAt);
    await pause(KEY_INTERVAL_MS);
  }
  return samples;
}

export interface Flood {
  readonly lostBytes: number;
  readonly seconds: number;
}

export interface FloodOptions {
  readonly mebibytes: number;
  /** The client takes nothing for so long when a tenth has come. */
  readonly pauseMs: number;
  /** Called when a tenth has come, after the pause, and at the end. */
  readonly look: () => void;
  /** Leaves in the middle and comes back: the control run. */
  readonly isHarmed: boolean;
}

/** Lines of known content, counted. */
export async function flood(
  api: Subresources,
  name: string,
  { mebibytes, pauseMs, look, isHarmed }: FloodOptions,
): Promise<Flood> {
  const path = `virtualmachineinstances/${name}/console`;
  const lines = (mebibytes * MIB) / LINE_BYTES;
  let session = await api.session(path);
  session.send("\nstty -echo; echo $((6 * 7))-ready\n");
  await session.expect(/42-ready\r\n/);
  const counter = new LineCounter();
  const startedAt = performance.now();
  session.forget();
  session.websocket.on("message", counter.take);
  session.send(`yes ${LINE} | head -n ${lines}; echo $((6 * 7))-done; stty echo\n`);
  await counter.until(lines / 10);
  session.websocket.pause();
  look();
  await pause(pauseMs);
  look();
  session.websocket.resume();
  if (isHarmed) {
    session.websocket.terminate();
    await session.closed();
    await pause(1_000);
    session = await api.session(path);
    session.forget();
    session.websocket.on("message", counter.take);
  }
  await counter.untilDone();
  look();
  session.websocket.close();
  await session.closed();
  return {
    lostBytes: Math.round((lines - counter.lines) * LINE_BYTES),
    seconds: (performance.now() - startedAt - pauseMs) / 1000,
  };
}

/** Counts whole lines as they come, and keeps none. */
class LineCounter {
  lines = 0;
  #rest = "";
  #isDone = false;
  #notify = () => {};

  readonly take = (data: Buffer): void => {
    const parts = (this.#rest + data.toString("latin1")).split("\r\n");
    this.#rest = parts.pop() ?? "";
    for (const part of parts) {
      // The first one stands behind the shell's prompt.
      if (part.endsWith(LINE)) this.lines += 1;
      if (part.endsWith("42-done")) this.#isDone = true;
    }
    this.#notify();
  };

  until(lines: number): Promise<void> {
    return this.#wait(() => this.lines >= lines);
  }

  untilDone(): Promise<void> {
    return this.#wait(() => this.#isDone);
  }

  /** @throws Error when nothing has come for a minute */
  async #wait(isReached: () => boolean): Promise<void> {
    while (!isReached()) {
      await new Promise<void>((resolve, reject) => {
        const late = () => reject(new Error(`the flood stands still at line ${this.lines}`));
        const timer = setTimeout(late, 60_000);
        this.#notify = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
