/** UEFI guests and the rarer devices in the launcher's own image, with its libvirt, qemu and OVMF. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { type Machine, prepareMachine } from "../../images/guest-tiny/boot.ts";
import { statusWhere } from "../testing/container.ts";
import { ask, attach, startContainer, tinySpec } from "../testing/guest.ts";

/** OVMF takes seconds under emulation, and more on a busy machine. */
const FIRMWARE_DEADLINE_MS = 120_000;

describe("a guest of the launcher's image", { timeout: 600_000 }, () => {
  let machine: Machine;
  before(async () => {
    machine = await prepareMachine();
  });

  it("boots by UEFI, beside a watchdog, a tablet, a sound card and a virtio screen", async (t) => {
    const domain = {
      efi: { secureBoot: false },
      // The kernel's EFI stub unpacks it beside OVMF's own 64 MiB and more.
      memoryBytes: 512 * 1024 * 1024,
      ...{ graphics: true, video: "virtio", sound: "ich9" },
      watchdog: { action: "poweroff" },
      inputs: [{ name: "pen", bus: "usb" }],
    } as const;
    const container = await startContainer(t, machine, tinySpec({ domain }));
    const agent = await attach(container);
    await container.printed(/:~# /, FIRMWARE_DEADLINE_MS);
    const console = await agent.open("/v1/console");
    await ask(console, "test -d /sys/firmware/efi && echo efi=$((6*7))", /efi=42/);
    await agent.request("POST", "/v1/shutdown", { body: { gracePeriodSeconds: 0 } });
    await container.exited();
  });

  it("is not started by UEFI with secure boot where nobody known has signed it", async (t) => {
    const spec = tinySpec({ domain: { efi: { secureBoot: true } } });
    const container = await startContainer(t, machine, spec);
    const agent = await attach(container);
    const status = await statusWhere(agent, ({ phase }) => phase !== "preparing" && phase !== "starting");
    assert.equal(status.phase, "running", JSON.stringify(status));
    await container.printed(/Secure boot image verification failed/, FIRMWARE_DEADLINE_MS);
    await agent.request("POST", "/v1/shutdown", { body: { gracePeriodSeconds: 0 } });
    await container.exited();
  });
});
