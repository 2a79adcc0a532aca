import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Volume } from "../../api/volumes.ts";
import { instance } from "./instance.fixture.ts";
import { policyProblem } from "./storage-policy.ts";

const NOTHING = { allowHostDisk: false, allowServiceAccountDisk: false };
const hostDisk: Volume = { name: "h", hostDisk: { path: "/srv/a.img", type: "Disk" } };
const serviceAccount: Volume = { name: "s", serviceAccount: { serviceAccountName: "default" } };
const problem = (volume: Volume, policy = NOTHING) =>
  policyProblem(instance({ volumes: [volume] }).spec, policy);

describe("what an installation has to allow", () => {
  it("is refused with the chart's value that allows it", () => {
    assert.equal(problem(hostDisk)?.reason, "HostDiskNotAllowed");
    assert.match(problem(hostDisk)?.message ?? "", /volume h: .* chart's value allowHostDisk/);
    assert.equal(problem(serviceAccount)?.reason, "ServiceAccountDiskNotAllowed");
    assert.match(problem(serviceAccount)?.message ?? "", /allowServiceAccountDisk/);
  });

  it("is allowed each by its own value, and the rest by none", () => {
    assert.equal(problem(hostDisk, { ...NOTHING, allowHostDisk: true }), undefined);
    assert.notEqual(problem(hostDisk, { ...NOTHING, allowServiceAccountDisk: true }), undefined);
    assert.equal(problem(serviceAccount, { ...NOTHING, allowServiceAccountDisk: true }), undefined);
    assert.equal(problem({ name: "c", configMap: { name: "c" } }), undefined);
  });
});
