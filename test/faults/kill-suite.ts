/** SIGKILL right after every single write of a VM's life, with the write's reply delivered and with it lost. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Exchange, isWrite } from "./exchange.ts";
import type { Fault } from "./fault.ts";
import { describeWrite, type Write } from "./journal.ts";
import { Keeper } from "./keeper.ts";
import { type Company, RAN } from "./ordeal.ts";

/** Fewer kills than an undisturbed life has writes would mean that some were not hit: see ARCHITECTURE.md, Create. */
const LEAST_KILLS = 12;
const LIFE_MS = 240_000;

export function killSuite(company: () => Company): void {
  describe("an operator that is killed after every single write", () => {
    for (const reply of ["delivered", "lost"] as const) {
      it(`has walked the same life, with each write's reply ${reply}`, async () => {
        const { stage, proxy, lives, oracle } = company();
        const assassin = new Assassin(reply, lives.namespace);
        await proxy.arm(assassin);
        const keeper = new Keeper(stage, { freesLease: true, onStart: () => assassin.rest() });
        const strike = (write: Write) => {
          if (assassin.hasStruck(write)) void keeper.operator.kill();
        };
        const event = reply === "delivered" ? "told" : "done";
        proxy.journal.on(event, strike);
        const name = `killed-${reply}`;
        try {
          await lives.create(name);
          await lives.untilRunning(name, LIFE_MS);
          await oracle.assertOutcome(RAN, name);
          proxy.journal.off(event, strike);
          await proxy.lift(assassin);
          await oracle.assertQuiet(keeper, 1);
          await proxy.arm(assassin);
          proxy.journal.on(event, strike);
          await lives.remove(name, LIFE_MS);
        } catch (error) {
          const told = assassin.victims.map(describeWrite).join("\n");
          throw new Error(`killed after\n${told}\n${error instanceof Error ? error.message : error}`, {
            cause: error,
          });
        } finally {
          proxy.journal.off(event, strike);
          await proxy.lift(assassin);
          await lives.sweep([name]);
          await keeper.stop();
        }
        const kills = assassin.victims.length;
        assert.ok(kills >= LEAST_KILLS, `${kills} kills only: ${assassin.victims.map(describeWrite)}`);
      });
    }
  });
}

/** Lets one write through, and then nothing until the next operator: each operator lives for one write. */
class Assassin implements Fault {
  readonly name = "SIGKILL after every write";
  /** Writes after which an operator was killed. */
  readonly victims: Write[] = [];
  readonly #isReplyLost: boolean;
  readonly #namespace: string;
  #chosen: Exchange | undefined;

  constructor(reply: "delivered" | "lost", namespace: string) {
    this.#isReplyLost = reply === "lost";
    this.#namespace = namespace;
  }

  /** A new operator starts. */
  rest(): void {
    this.#chosen = undefined;
  }

  hasStruck(write: Write): boolean {
    if (write.exchange !== this.#chosen) return false;
    this.victims.push(write);
    return true;
  }

  request(exchange: Exchange) {
    if (this.#chosen === undefined || !isWrite(exchange)) return undefined;
    return { do: "ignore" } as const;
  }

  reply(exchange: Exchange, status: number) {
    const isVictim =
      isWrite(exchange) &&
      exchange.namespace === this.#namespace &&
      exchange.resource !== "events" &&
      status < 300 &&
      this.#chosen === undefined;
    if (!isVictim) return undefined;
    this.#chosen = exchange;
    return this.#isReplyLost ? ({ do: "withhold" } as const) : undefined;
  }
}
