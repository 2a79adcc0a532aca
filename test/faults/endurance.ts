/** Rounds of faults picked by chance, for as long as one likes: what the operator holds must not grow. */
import { setTimeout } from "node:timers/promises";
import { Keeper } from "./keeper.ts";
import { Lives, PodAuditor } from "./life.ts";
import { type Dish, menu, nameOf } from "./menu.ts";
import { Oracle } from "./oracle.ts";
import { learn, suffer } from "./ordeal.ts";
import type { FaultProxy } from "./proxy.ts";
import { reconnect } from "./reconnects.ts";
import { Stage } from "./stage.ts";

/** Watches end after 5 to 10 min: an hour has some dozens of reconnects, this has hundreds. */
const RECONNECT_ROUNDS = 100;
/** The operator's own limit. */
const MAX_CONNECTIONS = 4;
/**
 * Nobody restarts the operator in between, so its back-offs grow from fault to fault, to a minute each at the most: a
 * fault that strikes one watch four times may take as long.
 */
const PATIENCE_MS = 300_000;
/** Watches end by themselves now and then, and are opened anew: after a minute at the most, when a fault came before. */
const RECOVERY_MS = 90_000;
const LOOK_MS = 20;
/** What an operator may grow by after its first rounds, which fill its caches and heap. */
const MAX_GROWTH_MIB = 32;
const WARM_ROUNDS = 5;

export interface EnduranceOptions {
  /** Unix time after which no further round begins; there is one at least. */
  readonly untilMs: number;
  readonly tell: (line: string) => void;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/** @returns how many faults were survived @throws what a round found, or what grew */
export async function endure({ untilMs, tell, random = Math.random }: EnduranceOptions): Promise<number> {
  const stage = await Stage.set();
  try {
    const auditor = await PodAuditor.start(stage.client, stage.namespace);
    try {
      return await endureOn(stage, auditor, { untilMs, tell, random });
    } finally {
      await auditor.close();
    }
  } finally {
    await stage.strike();
  }
}

async function endureOn(
  stage: Stage,
  auditor: PodAuditor,
  { untilMs, tell, random }: Required<EnduranceOptions>,
): Promise<number> {
  const { client, proxy, namespace } = stage;
  const lives = new Lives(client, namespace);
  const company = { stage, proxy, lives, oracle: new Oracle(proxy, lives, PATIENCE_MS) };
  const keeper = new Keeper(stage);
  try {
    await learn(company, keeper);
    const reopened = await reconnect(proxy, RECONNECT_ROUNDS);
    tell(`${reopened} watches reopened, ${proxy.connections} connections`);
    const gauge = new Gauge(keeper, proxy);
    let rounds = 0;
    do {
      const dish = pick(menu(), random());
      await suffer(company, keeper, `round-${rounds}`, dish, { restarts: false, patienceMs: PATIENCE_MS });
      if (auditor.violations.length > 0) throw new Error(auditor.violations.join("; "));
      const measured = await gauge.measure(nameOf(dish));
      rounds++;
      tell(`${rounds} faults, the last ${nameOf(dish)}: ${measured}`);
    } while (Date.now() < untilMs);
    return rounds;
  } finally {
    await keeper.stop();
  }
}

/** What one operator process holds, round by round. */
class Gauge {
  readonly #keeper: Keeper;
  readonly #proxy: FaultProxy;
  readonly #watches: number;
  #process = 0;
  #rounds = 0;
  #warmMiB = Number.POSITIVE_INFINITY;

  /** From now on there are to be as many watches as there are now. */
  constructor(keeper: Keeper, proxy: FaultProxy) {
    this.#keeper = keeper;
    this.#proxy = proxy;
    this.#watches = proxy.watches.length;
  }

  /** @throws Error naming what grew, or what is not as it was before the fault */
  async measure(fault: string): Promise<string> {
    const operator = await this.#keeper.untilLeading();
    if (this.#process !== this.#keeper.starts) {
      // A fault that cost the leadership made the process start anew.
      this.#process = this.#keeper.starts;
      this.#rounds = 0;
      this.#warmMiB = Number.POSITIVE_INFINITY;
    }
    await this.#settled(fault);
    const residentMiB = Math.round(operator.residentMiB());
    if (++this.#rounds === WARM_ROUNDS) this.#warmMiB = residentMiB;
    const measured = `${residentMiB} MiB, ${this.#held()}`;
    if (residentMiB > this.#warmMiB + MAX_GROWTH_MIB)
      throw new Error(`after ${fault}: it had ${this.#warmMiB} MiB: ${measured}`);
    return measured;
  }

  async #settled(fault: string): Promise<void> {
    const proxy = this.#proxy;
    const deadline = Date.now() + RECOVERY_MS;
    while (proxy.watches.length !== this.#watches || proxy.connections > MAX_CONNECTIONS) {
      if (Date.now() > deadline) {
        const wanted = `${this.#watches} watches on ${MAX_CONNECTIONS} connections at the most`;
        const found = `after ${fault}: there were to be ${wanted}, and for ${RECOVERY_MS} ms there are ${this.#held()}`;
        throw new Error(`${found}\n${this.#keeper.operator.tail()}`);
      }
      await setTimeout(LOOK_MS);
    }
  }

  #held(): string {
    return `${this.#proxy.connections} connections, ${this.#proxy.watches.length} watches`;
  }
}

function pick(dishes: readonly Dish[], random: number): Dish {
  const dish = dishes[Math.floor(random * dishes.length)];
  if (dish === undefined) throw new RangeError(`${random} is not in [0, 1)`);
  return dish;
}
