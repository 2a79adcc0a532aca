/** Two operators, and the one that leads is frozen in the midst of its work for longer than its lease. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { eventually } from "../harness/eventually.ts";
import type { Exchange } from "./exchange.ts";
import { isWrite } from "./exchange.ts";
import type { Fault } from "./fault.ts";
import type { Write } from "./journal.ts";
import { overlaps, reigns, usurpations } from "./leadership.ts";
import { type Company, RAN } from "./ordeal.ts";

const CONTESTED = "contested";
const INTERRUPTED = "interrupted";
/** Lease, two tries of the standby, and what a busy machine adds. */
const TAKE_OVER_MS = 60_000;

export function leaderSuite(company: () => Company): void {
  describe("of two operators", () => {
    it("one that is frozen beyond its lease neither leads nor writes when it wakes up", async () => {
      const { stage, proxy, lives, oracle } = company();
      const frozen = stage.start(0);
      const standby = stage.start(1);
      const since = proxy.journal.writes.length;
      const late = new LatePod(frozen.address);
      try {
        // Whoever is first leads; the names stay with the places.
        const hasLed = await Promise.race([
          frozen.untilLogged("leading", TAKE_OVER_MS).then(() => true),
          standby.untilLogged("leading", TAKE_OVER_MS).then(() => false),
        ]);
        const [leader, successor] = hasLed ? [frozen, standby] : [standby, frozen];
        late.leader = leader.address;
        await Promise.all(
          [leader, successor].map((operator) =>
            operator.untilLogged("an agent connected", TAKE_OVER_MS, { kind: "status" }),
          ),
        );
        // One write is under way for longer than the lease: the network has it.
        await proxy.arm(late);
        await lives.create(CONTESTED);
        await eventually(
          async () => assert.ok(proxy.fired(late) > 0, "the leader makes no pod"),
          TAKE_OVER_MS,
        );
        // And one VM is half made when the freeze comes: its next write is the process's own.
        const halfMade = Promise.withResolvers<void>();
        const onTold = ({ exchange }: Write) => {
          if (exchange.name !== INTERRUPTED || exchange.verb !== "create") return;
          leader.stall();
          halfMade.resolve();
        };
        proxy.journal.on("told", onTold);
        await lives.create(INTERRUPTED);
        const tooLate = setTimeout(TAKE_OVER_MS, undefined, { ref: false });
        await Promise.race([halfMade.promise, tooLate.then(() => assert.fail("no VM was half made"))]);
        proxy.journal.off("told", onTold);

        await successor.untilLogged("leading", TAKE_OVER_MS);
        await Promise.all([lives.untilRunning(CONTESTED), lives.untilRunning(INTERRUPTED)]);
        await proxy.lift(late);
        const belated = await late.answered(proxy.journal.writes);
        assert.equal(belated.status, 409, "the late write met the pod that the successor made");
        leader.resume();
        assert.equal(await leader.ended, "exit code 1");

        await Promise.all([oracle.assertOutcome(RAN, CONTESTED), oracle.assertOutcome(RAN, INTERRUPTED)]);
        const writes = proxy.journal.writes.slice(since);
        const found = reigns(writes);
        assert.deepEqual(
          found.map(({ client }) => client),
          [leader.address, successor.address],
        );
        assert.deepEqual(overlaps(found), []);
        assert.deepEqual(usurpations(writes, lives.namespace), []);
        await Promise.all([lives.remove(CONTESTED), lives.remove(INTERRUPTED)]);
      } finally {
        await proxy.lift(late);
        await lives.sweep([CONTESTED, INTERRUPTED]);
        await Promise.all([frozen.kill(), standby.kill()]);
        await stage.freeLease();
      }
    });
  });
}

/** Holds the leader's creation of a pod back until it is lifted. */
class LatePod implements Fault {
  readonly name = "a write under way for longer than the lease";
  leader: string;
  #held: Exchange | undefined;

  constructor(leader: string) {
    this.leader = leader;
  }

  request(exchange: Exchange) {
    const isPod = isWrite(exchange) && exchange.verb === "create" && exchange.resource === "pods";
    if (this.#held !== undefined || exchange.client !== this.leader || !isPod) return undefined;
    this.#held = exchange;
    return { do: "hold" } as const;
  }

  /** What the API server said to it in the end. */
  answered(writes: readonly Write[]): Promise<Write> {
    return eventually(async () => {
      const found = writes.find(({ exchange }) => exchange === this.#held);
      assert.ok(found, "the API server has not answered the late write");
      return found;
    }, TAKE_OVER_MS);
  }
}
