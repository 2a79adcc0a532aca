/**
 * When the guest agent is asked what: KubeVirt's intervals. A guest that has just booted still changes, so the long
 * ones begin at 10 s and double. Pure.
 */

export type PollName = "freeze" | "version" | "system" | "users" | "fileSystems";

/** In the order in which what is due is asked. */
export const POLL_INTERVALS_MS: Readonly<Record<PollName, number>> = {
  freeze: 5_000,
  version: 300_000,
  system: 120_000,
  users: 10_000,
  fileSystems: 300_000,
};

const FIRST_INTERVAL_MS = 10_000;
/** An agent that doesn't answer is asked nothing at all for so long, twice as long each time. */
const FIRST_PAUSE_MS = 10_000;
const MAX_PAUSE_MS = 300_000;

const REFUSED_INTERVAL_MS = 300_000;

export interface PollPlan {
  readonly polls: Readonly<Record<PollName, Poll>>;
  /** Rounds without an answer, in a row. */
  readonly silentRounds: number;
  /** Nothing is asked before. */
  readonly pausedUntilMs: number;
}

interface Poll {
  readonly dueAtMs: number;
  readonly intervalMs: number;
}

const NAMES = Object.keys(POLL_INTERVALS_MS) as PollName[];

/** Everything is due. */
export function firstPlan(nowMs: number): PollPlan {
  const polls = Object.fromEntries(
    NAMES.map((name) => [
      name,
      { dueAtMs: nowMs, intervalMs: Math.min(FIRST_INTERVAL_MS, POLL_INTERVALS_MS[name]) },
    ]),
  ) as Record<PollName, Poll>;
  return { polls, silentRounds: 0, pausedUntilMs: nowMs };
}

/** A guest that is frozen answers nothing but how its file systems are. */
export function duePolls(plan: PollPlan, nowMs: number, frozen: boolean): readonly PollName[] {
  if (nowMs < plan.pausedUntilMs) return [];
  return NAMES.filter((name) => plan.polls[name].dueAtMs <= nowMs && (!frozen || name === "freeze"));
}

export function nextPollAtMs(plan: PollPlan, frozen: boolean): number {
  const due = NAMES.filter((name) => !frozen || name === "freeze").map((name) => plan.polls[name].dueAtMs);
  return Math.max(plan.pausedUntilMs, Math.min(...due));
}

/** The poll was made, and the agent answered something. */
export function polled(plan: PollPlan, name: PollName, nowMs: number): PollPlan {
  const { intervalMs } = plan.polls[name];
  const longer = Math.min(2 * intervalMs, POLL_INTERVALS_MS[name]);
  const poll = { dueAtMs: nowMs + intervalMs, intervalMs: longer };
  return { ...plan, silentRounds: 0, polls: { ...plan.polls, [name]: poll } };
}

/** The agent didn't answer at all. */
export function unanswered(plan: PollPlan, _name: PollName, nowMs: number): PollPlan {
  const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** plan.silentRounds, MAX_PAUSE_MS);
  return { ...plan, silentRounds: plan.silentRounds + 1, pausedUntilMs: nowMs + pauseMs };
}

/** The agent can't, or won't, and libvirtd writes that to its log each time. */
export function refused(plan: PollPlan, name: PollName, nowMs: number): PollPlan {
  return dueAt({ ...plan, silentRounds: 0 }, name, nowMs + REFUSED_INTERVAL_MS);
}

/** What a poll tells is known to change then. */
export function dueAt(plan: PollPlan, name: PollName, atMs: number): PollPlan {
  return { ...plan, polls: { ...plan.polls, [name]: { ...plan.polls[name], dueAtMs: atMs } } };
}
