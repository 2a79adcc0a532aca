import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { announcedLauncher } from "./announcement.ts";

describe("the announcement of a launcher", () => {
  it("writes a MAC address as the kernel does, whichever way the API took it", () => {
    for (const macAddress of ["02-00-00-00-0A-01", "02:00:00:00:0A:01", "02:00-00:00:0a:01"]) {
      const announced = announcedLauncher(
        {
          metadata: { name: "tiny", namespace: "n", uid: "u", resourceVersion: "1", creationTimestamp: "t" },
          spec: {
            domain: { devices: { interfaces: [{ name: "default", macAddress }] }, memory: { guest: "1Gi" } },
            networks: [{ name: "default", pod: {} }],
          },
        },
        {
          name: "p",
          uid: "p",
          phase: "Pending",
          isDeleting: false,
          isHeld: true,
          accelerator: "kvm",
          hasSandbox: false,
          isRunning: false,
        },
      );
      assert.deepEqual(announced.interfaces, [
        {
          name: "default",
          binding: "bridge",
          podInterface: "eth0",
          queues: 1,
          macAddress: "02:00:00:00:0a:01",
        },
      ]);
    }
  });
});
