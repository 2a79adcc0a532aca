/** VMs' lives under a fault, and what is asked afterwards. */
import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import type { Keeper } from "./keeper.ts";
import type { Lives } from "./life.ts";
import type { Dish } from "./menu.ts";
import type { Oracle } from "./oracle.ts";
import type { FaultProxy } from "./proxy.ts";
import type { Stage } from "./stage.ts";

/** What the suites share. */
export interface Company {
  readonly stage: Stage;
  readonly proxy: FaultProxy;
  readonly lives: Lives;
  readonly oracle: Oracle;
}

/** What a VM has been through when it is looked at. */
export const RAN = "new";
export const RESTARTED = "restarted";

type Look = (life: typeof RAN | typeof RESTARTED, name: string) => Promise<void>;

/** The slowest faults last half a minute. */
const PATIENCE_MS = 90_000;
const LOOK_MS = 20;

export interface OrdealOptions {
  /** Whether a restart is to write nothing, too; true unless told. */
  readonly restarts?: boolean;
  /** For each step of a life; a minute and a half unless told. */
  readonly patienceMs?: number;
}

const namesOf = (prefix: string) => [`${prefix}-brief`, `${prefix}-lasting`] as const;

/**
 * Two VMs side by side: one is deleted as soon as it has run, the other is stopped and started, and stays.
 * @param onCreated called once both exist
 * @returns the name of the one that stays
 */
export async function walkLives(
  { lives }: Company,
  prefix: string,
  look: Look,
  onCreated?: () => Promise<void>,
  patienceMs = PATIENCE_MS,
): Promise<string> {
  const [brief, lasting] = namesOf(prefix);
  await Promise.all([brief, lasting].map((name) => lives.create(name)));
  await onCreated?.();
  await Promise.all([
    (async () => {
      await lives.untilRunning(brief, patienceMs);
      await look(RAN, brief);
      await lives.remove(brief, patienceMs);
    })(),
    (async () => {
      await lives.untilRunning(lasting, patienceMs);
      await lives.stop(lasting, patienceMs);
      await lives.start(lasting, patienceMs);
      await look(RESTARTED, lasting);
    })(),
  ]);
  return lasting;
}

/** The undisturbed run: what it comes to is what the others must come to. */
export async function learn(company: Company, keeper: Keeper): Promise<void> {
  const { lives, oracle } = company;
  await keeper.untilLeading();
  const lasting = await walkLives(company, "calm", (life, name) => oracle.learn(life, name));
  await oracle.assertQuiet(keeper, 1);
  await lives.remove(lasting);
}

/**
 * Walks two lives under faults.
 * @throws Error when they do not come to the same as without, when something is written afterwards, or when a fault
 *   struck too seldom to prove anything
 */
export async function suffer(
  company: Company,
  keeper: Keeper,
  prefix: string,
  dish: Dish,
  options: OrdealOptions = {},
): Promise<void> {
  const { proxy, lives, oracle } = company;
  const { patienceMs = PATIENCE_MS } = options;
  const { strikes, during, check, isArmedLate = false } = dish;
  const arm = () => Promise.all(strikes.map(({ fault }) => proxy.arm(fault)));
  const lift = () => Promise.all(strikes.map(({ fault }) => proxy.lift(fault)));
  const told = () => strikes.map(({ fault }) => `${fault.name} (struck ${proxy.fired(fault)} times)`);
  const over = new AbortController();
  await keeper.untilLeading();
  const watches = proxy.watches.length;
  try {
    if (!isArmedLate) await arm();
    const look: Look = (life, name) => oracle.assertOutcome(life, name);
    const armLate = async () => {
      if (isArmedLate) await arm();
    };
    const [lasting] = await Promise.all([
      walkLives(company, prefix, look, armLate, patienceMs),
      during?.(proxy, over.signal),
    ]);
    await lift();
    for (const { fault, least } of strikes) {
      assert.ok(proxy.fired(fault) >= least, `${fault.name} must strike ${least} times at least`);
    }
    check?.();
    await untilWatching(proxy, watches, patienceMs);
    await oracle.assertQuiet(keeper, 1, options);
    await lives.remove(lasting);
  } catch (error) {
    over.abort();
    await lift();
    await lives.sweep(namesOf(prefix));
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`under ${told().join(" and ")}: ${message}\n${keeper.operator.tail()}`, { cause: error });
  }
}

/** The last failure's back-off may be under way still. */
async function untilWatching(proxy: FaultProxy, least: number, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (proxy.watches.length < least) {
    assert.ok(Date.now() < deadline, `${proxy.watches.length} watches, not ${least}, ${timeoutMs} ms after`);
    await setTimeout(LOOK_MS);
  }
}
