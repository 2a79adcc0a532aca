/** Rounds of faults picked by chance, for as long as one likes: what the operator holds must not grow. */
import { Keeper } from "./keeper.ts";
import { Lives, PodAuditor } from "./life.ts";
import { type Dish, menu, nameOf } from "./menu.ts";
import { Oracle } from "./oracle.ts";
import { learn, suffer } from "./ordeal.ts";
import { reconnect } from "./reconnects.ts";
import { Stage } from "./stage.ts";

/** Watches end after 5 to 10 min: an hour has some dozens of reconnects, this has hundreds. */
const RECONNECT_ROUNDS = 100;
/** The operator's own limit. */
const MAX_CONNECTIONS = 4;
/** What an operator may grow by after its first rounds, which fill its caches and heap. */
const MAX_GROWTH_MIB = 32;
const WARM_ROUNDS = 5;

export interface EnduranceOptions {
  /** Unix time. */
  readonly untilMs: number;
  readonly tell: (line: string) => void;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/** @returns how many faults were survived @throws what a round found, or what grew */
export async function endure({ untilMs, tell, random = Math.random }: EnduranceOptions): Promise<number> {
  const stage = await Stage.set();
  const { client, proxy, namespace } = stage;
  const auditor = await PodAuditor.start(client, namespace);
  const lives = new Lives(client, namespace);
  const company = { stage, proxy, lives, oracle: new Oracle(proxy, lives) };
  const keeper = new Keeper(stage);
  try {
    await learn(company, keeper);
    const reopened = await reconnect(proxy, RECONNECT_ROUNDS);
    tell(`${reopened} watches reopened, ${proxy.connections} connections`);
    const gauge = new Gauge(keeper, proxy.watches.length);
    let rounds = 0;
    for (; Date.now() < untilMs; rounds++) {
      const dish = pick(menu(), random());
      await suffer(company, keeper, `round-${rounds}`, dish, { restarts: false });
      if (auditor.violations.length > 0) throw new Error(auditor.violations.join("; "));
      const measured = await gauge.measure(proxy.connections, proxy.watches.length);
      tell(`${rounds + 1} faults, the last ${nameOf(dish)}: ${measured}`);
    }
    return rounds;
  } finally {
    await keeper.stop();
    await auditor.close();
    await stage.strike();
  }
}

/** What one operator process holds, round by round. */
class Gauge {
  readonly #keeper: Keeper;
  readonly #watches: number;
  #process = 0;
  #rounds = 0;
  #warmMiB = Number.POSITIVE_INFINITY;

  constructor(keeper: Keeper, watches: number) {
    this.#keeper = keeper;
    this.#watches = watches;
  }

  /** @throws Error naming what grew */
  async measure(connections: number, watches: number): Promise<string> {
    const operator = await this.#keeper.untilLeading();
    if (this.#process !== this.#keeper.starts) {
      // A fault that cost the leadership made the process start anew.
      this.#process = this.#keeper.starts;
      this.#rounds = 0;
      this.#warmMiB = Number.POSITIVE_INFINITY;
    }
    const residentMiB = Math.round(operator.residentMiB());
    if (++this.#rounds === WARM_ROUNDS) this.#warmMiB = residentMiB;
    const measured = `${residentMiB} MiB, ${connections} connections, ${watches} watches`;
    if (watches !== this.#watches) throw new Error(`there were ${this.#watches} watches: ${measured}`);
    if (connections > MAX_CONNECTIONS) throw new Error(`too many connections: ${measured}`);
    if (residentMiB > this.#warmMiB + MAX_GROWTH_MIB)
      throw new Error(`it had ${this.#warmMiB} MiB: ${measured}`);
    return measured;
  }
}

function pick(dishes: readonly Dish[], random: number): Dish {
  const dish = dishes[Math.floor(random * dishes.length)];
  if (dish === undefined) throw new RangeError(`${random} is not in [0, 1)`);
  return dish;
}
