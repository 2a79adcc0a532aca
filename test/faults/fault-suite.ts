/** Each fault of the menu strikes while VMs are created, run, stop, start and are deleted. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { othersThan, recreateCrds } from "./crds.ts";
import { Keeper } from "./keeper.ts";
import { menu, nameOf } from "./menu.ts";
import { type Company, learn, RAN, suffer, walkLives } from "./ordeal.ts";
import { reconnect } from "./reconnects.ts";

/** Ends of all watches; `make soak` has more. */
const RECONNECT_ROUNDS = 10;
/** The operator watches VMs, VMIs and pods at least. */
const COLLECTIONS = 3;

export function faultSuite(company: () => Company): void {
  describe("a VM's life under a fault ends as without, and then nothing is written", () => {
    let keeper: Keeper;
    before(() => {
      keeper = new Keeper(company().stage);
    });
    after(() => keeper.stop());

    it("without a fault", () => learn(company(), keeper));

    for (const [index, dish] of menu().entries()) {
      it(nameOf(dish), () => suffer(company(), keeper, `fault-${index}`, dish));
    }

    it("resourceVersion jump, as a restore with a raised revision makes it", async () => {
      const { proxy, lives, oracle } = company();
      await keeper.untilLeading();
      const restore = () => proxy.restoreFromBackup();
      const look = async (life: string, name: string) => {
        if (life === RAN) await restore();
        await oracle.assertOutcome(life, name);
      };
      const lasting = await walkLives(company(), "jump", look, restore);
      await oracle.assertQuiet(keeper, 1);
      await lives.remove(lasting);
    });

    it("CRD deleted and re-created, with the VMs that it held", async (test) => {
      const { stage, lives, oracle } = company();
      const others = await othersThan(stage.client, lives.namespace);
      if (others.length > 0) return test.skip(`it would delete ${others.join(", ")}`);
      await keeper.untilLeading();
      await lives.create("doomed");
      await lives.untilRunning("doomed");
      await recreateCrds(stage.client);
      await lives.untilGone("doomed");
      await lives.create("reborn");
      await lives.untilRunning("reborn");
      await oracle.assertOutcome(RAN, "reborn");
      await oracle.assertQuiet(keeper, 1);
      await lives.remove("reborn");
    });

    it("watches that come to their end again and again, and GOAWAY, leave the connections as they were", async () => {
      const { proxy } = company();
      await keeper.untilLeading();
      const reopened = await reconnect(proxy, RECONNECT_ROUNDS);
      assert.ok(reopened >= COLLECTIONS * RECONNECT_ROUNDS);
    });
  });
}
