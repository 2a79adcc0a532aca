import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LauncherInterfaceStatus, LauncherStatus } from "../../api/launcher-protocol.ts";
import { addressConditions } from "./addresses.ts";

function told(...withheld: readonly (readonly string[] | undefined)[]): LauncherStatus {
  const interfaces = withheld.map(
    (withheldAddresses, i): LauncherInterfaceStatus => ({
      name: `net${i}`,
      macAddress: "0a:58:0a:f4:00:07",
      podInterfaceName: `eth${i}`,
      ipAddresses: ["10.244.0.7"],
      queueCount: 1,
      leased: true,
      ...(withheldAddresses === undefined ? {} : { withheldAddresses }),
    }),
  );
  return { phase: "running", interfaces, timeline: { launcherStarted: "2026-01-01T00:00:00Z" } };
}

describe("the condition of handed over addresses", () => {
  it("is not there while the guest has what the pod has", () => {
    assert.deepEqual(addressConditions(told(undefined, [])), []);
    assert.deepEqual(addressConditions(told()), []);
  });

  it("names the addresses that the guest isn't given, and their interface", () => {
    const [condition, ...rest] = addressConditions(told(undefined, ["fd00::7", "fd01::7"]));
    assert.deepEqual(rest, []);
    assert.equal(condition?.status, "False");
    assert.equal(condition?.reason, "IPv6NotHandedOver");
    assert.match(condition?.message ?? "", /fd00::7, fd01::7 \(interface net1\)/);
  });
});
