/**
 * The kubelet's probes that go through the guest agent. The kubelet runs `virtpod-probe` in the container; that hands
 * its arguments over, and this says whether the probe succeeds.
 */

import { Backoff } from "../../lib/backoff.ts";
import { type Clock, sleep } from "../../lib/clock.ts";
import type { ExecEnd } from "./answers.ts";
import type { AgentChannel } from "./channel.ts";
import { execute, execution, ping } from "./commands.ts";

/** From one look at a program that runs in the guest to the next: no event tells of its end. */
const LOOK = { initialMs: 20, maxMs: 500 };

export interface ProbeRequest {
  readonly kind: "liveness" | "readiness";
  readonly timeoutSeconds: number;
  /** undefined: only a ping. */
  readonly command?: readonly string[];
}

export interface ProbeAnswer {
  readonly isSuccess: boolean;
  readonly message: string;
}

export interface Prober {
  readonly channel: Pick<AgentChannel, "ask">;
  readonly clock: Clock;
  /** The guest is held still, or its file systems are: it can't answer, and that is nobody's failure. */
  readonly stillness: () => "not running" | "frozen" | undefined;
}

/** @param bytes virtpod-probe's arguments, each ended by a zero byte; undefined where they are none */
export function parseProbe(bytes: Buffer): ProbeRequest | undefined {
  const [kind, seconds, verb, ...command] = bytes.toString("utf8").split("\0").slice(0, -1);
  const timeoutSeconds = Number(seconds);
  if (kind !== "liveness" && kind !== "readiness") return undefined;
  if (!Number.isInteger(timeoutSeconds) || timeoutSeconds < 1) return undefined;
  if (verb === "ping" && command.length === 0) return { kind, timeoutSeconds };
  return verb === "exec" && command.length > 0 ? { kind, timeoutSeconds, command } : undefined;
}

/** Never rejects: what can't be asked has failed. */
export async function answerProbe(request: ProbeRequest, prober: Prober): Promise<ProbeAnswer> {
  const stillness = prober.stillness();
  if (stillness !== undefined) {
    // Whoever holds a guest still doesn't want it killed for that; a paused one serves nobody.
    const isSuccess = request.kind === "liveness" || stillness === "frozen";
    return { isSuccess, message: `the guest is ${stillness}` };
  }
  try {
    if (request.command !== undefined)
      return await runInGuest(request.command, request.timeoutSeconds, prober);
    await prober.channel.ask(ping(request.timeoutSeconds));
    return { isSuccess: true, message: "the guest agent answers" };
  } catch (error) {
    return { isSuccess: false, message: error instanceof Error ? error.message : String(error) };
  }
}

async function runInGuest(
  command: readonly string[],
  timeoutSeconds: number,
  { channel, clock }: Prober,
): Promise<ProbeAnswer> {
  const deadline = clock.monotonic() + timeoutSeconds * 1000;
  const pid = await channel.ask(execute(command));
  const backoff = new Backoff({ ...LOOK, clock });
  while (clock.monotonic() < deadline) {
    await sleep(Math.min(backoff.next(), Math.max(0, deadline - clock.monotonic())), { clock });
    const end = await channel.ask(execution(pid));
    if (end !== undefined) return answerOf(command, end);
  }
  const message = `${command[0]} has not ended in the guest within ${timeoutSeconds} s`;
  return { isSuccess: false, message };
}

function answerOf([program]: readonly string[], end: ExecEnd): ProbeAnswer {
  if ("signal" in end) return { isSuccess: false, message: `${program} was ended by signal ${end.signal}` };
  return { isSuccess: end.status === 0, message: `${program} ended with status ${end.status}` };
}
