/** The real operator behind the fault proxy, with the real API server, agent, kubelet and guests. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { faultSuite } from "./fault-suite.ts";
import { killSuite } from "./kill-suite.ts";
import { leaderSuite } from "./leader-suite.ts";
import { Lives, PodAuditor } from "./life.ts";
import { Oracle } from "./oracle.ts";
import type { Company } from "./ordeal.ts";
import { Stage } from "./stage.ts";
import { travelSuite } from "./travel-suite.ts";

describe("the operator", () => {
  let stage: Stage;
  let auditor: PodAuditor;
  let company: Company;

  before(async () => {
    stage = await Stage.set();
    const { client, proxy, namespace } = stage;
    auditor = await PodAuditor.start(client, namespace);
    const lives = new Lives(client, namespace);
    company = { stage, proxy, lives, oracle: new Oracle(proxy, lives) };
  });
  after(async () => {
    try {
      await auditor?.close();
    } finally {
      await stage?.strike();
    }
  });

  faultSuite(() => company);
  killSuite(() => company);
  travelSuite(() => company);
  leaderSuite(() => company);

  it("has never made a second launcher pod for a VMI in all of this", () => {
    assert.ok(auditor.size > 0);
    assert.deepEqual(auditor.violations, []);
  });
});
