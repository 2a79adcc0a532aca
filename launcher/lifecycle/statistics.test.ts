import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { domainStatistics } from "./statistics.ts";

describe("a domain's statistics", () => {
  it("are libvirt's in seconds and bytes, of the vCPUs that are plugged", () => {
    const told = domainStatistics({
      "cpu.time": 3_500_000_000,
      "cpu.user": 2_000_000_000n,
      "cpu.system": 1_500_000_000,
      "balloon.current": 131_072,
      "balloon.maximum": 131_072,
      "balloon.rss": 180_000,
      "balloon.usable": 100,
      "balloon.major_fault": 7,
      "vcpu.current": 2,
      "vcpu.maximum": 3,
      "vcpu.0.state": 1,
      "vcpu.0.time": 1_000_000_000,
      "vcpu.0.wait": 0,
      "vcpu.0.delay": 250_000_000,
      "vcpu.2.state": 0,
    });
    assert.deepEqual(told, {
      cpu: { seconds: 3.5, userSeconds: 2, systemSeconds: 1.5 },
      vcpus: [
        { id: 0, state: "running", seconds: 1, waitSeconds: 0, delaySeconds: 0.25 },
        { id: 2, state: "offline", seconds: 0 },
      ],
      memory: {
        domain: 134_217_728,
        actualBalloon: 134_217_728,
        resident: 184_320_000,
        usable: 102_400,
        majorFaults: 7,
      },
    });
  });

  it("of a domain that tells nothing are none", () => {
    assert.deepEqual(domainStatistics({}), {
      cpu: { seconds: 0, userSeconds: 0, systemSeconds: 0 },
      vcpus: [],
      memory: {},
    });
  });
});
