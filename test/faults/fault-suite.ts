/** Each fault of the menu strikes while VMs are created, run, stop, start and are deleted. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { Keeper } from "./keeper.ts";
import type { Lives } from "./life.ts";
import { type Dish, menu } from "./menu.ts";
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

const LOOK_MS = 20;

/** Two VMs side by side: one is deleted as soon as it has run, the other is stopped and started, and stays. */
export async function walkLives({ lives }: Company, prefix: string, look: Look): Promise<string> {
  const [brief, lasting] = namesOf(prefix);
  await Promise.all([
    (async () => {
      await lives.untilRunning(brief, LIFE_MS);
      await look(RAN, brief);
      await lives.remove(brief, LIFE_MS);
    })(),
    (async () => {
      await lives.untilRunning(lasting, LIFE_MS);
      await lives.stop(lasting, LIFE_MS);
      await lives.start(lasting, LIFE_MS);
      await look(RESTARTED, lasting);
    })(),
  ]);
  return lasting;
}

type Look = (life: string, name: string) => Promise<void>;

/** The slowest faults last half a minute. */
const LIFE_MS = 90_000;

const namesOf = (prefix: string) => [`${prefix}-brief`, `${prefix}-lasting`] as const;

export function faultSuite(company: () => Company): void {
  describe("a VM's life under a fault ends as without, and then nothing is written", () => {
    let keeper: Keeper;
    before(() => {
      keeper = new Keeper(company().stage);
    });
    after(() => keeper.stop());

    it("without a fault", async () => {
      const { lives, oracle } = company();
      await keeper.untilLeading();
      await Promise.all(namesOf("calm").map((name) => lives.create(name)));
      const lasting = await walkLives(company(), "calm", (life, name) => oracle.learn(life, name));
      await oracle.assertQuiet(keeper, 1);
      await lives.remove(lasting);
    });

    for (const [index, dish] of menu().entries()) {
      it(dish.fault.name, () => suffer(company(), keeper, `fault-${index}`, dish));
    }

    it("resourceVersion jump, as a restore with a raised revision makes it", async () => {
      const { proxy, lives, oracle } = company();
      await keeper.untilLeading();
      await Promise.all(namesOf("jump").map((name) => lives.create(name)));
      await proxy.restoreFromBackup();
      const lasting = await walkLives(company(), "jump", async (life, name) => {
        if (life === RAN) await proxy.restoreFromBackup();
        await oracle.assertOutcome(life, name);
      });
      await oracle.assertQuiet(keeper, 1);
      await lives.remove(lasting);
    });
  });
}

async function suffer(company: Company, keeper: Keeper, prefix: string, dish: Dish): Promise<void> {
  const { proxy, lives, oracle } = company;
  const { fault, leastFirings, during, check } = dish;
  const untilFired = async (times: number) => {
    while (proxy.fired(fault) < times) await setTimeout(LOOK_MS);
  };
  await keeper.untilLeading();
  try {
    if (dish.isArmedLate !== true) await proxy.arm(fault);
    await Promise.all(namesOf(prefix).map((name) => lives.create(name)));
    if (dish.isArmedLate === true) await proxy.arm(fault);
    const [lasting] = await Promise.all([
      walkLives(company, prefix, (life, name) => oracle.assertOutcome(life, name)),
      during?.(proxy, untilFired),
    ]);
    await proxy.lift(fault);
    const fired = proxy.fired(fault);
    assert.ok(fired >= leastFirings, `${fault.name} struck ${fired} times only, not ${leastFirings}`);
    check?.();
    await oracle.assertQuiet(keeper, 1);
    await lives.remove(lasting);
  } catch (error) {
    await proxy.lift(fault);
    await lives.sweep(namesOf(prefix));
    throw new Error(`under ${fault.name}, which struck ${proxy.fired(fault)} times: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
