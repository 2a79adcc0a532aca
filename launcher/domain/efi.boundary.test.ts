/** UEFI guests and the rarer devices in the launcher's own image, with its libvirt, qemu and OVMF. */
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it, type TestContext } from "node:test";
import type { LaunchDisk, LaunchDomain } from "../../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import { type Machine, prepareMachine } from "../../images/guest-tiny/boot.ts";
import { run } from "../../images/process.ts";
import { needTools } from "../../images/tools.ts";
import { ask, attach, startContainer, tinySpec } from "../testing/guest.ts";

/** OVMF takes seconds under emulation, and more on a busy machine. */
const FIRMWARE_DEADLINE_MS = 120_000;

describe("a guest of the launcher's image", { timeout: 600_000 }, () => {
  let machine: Machine;
  before(async () => {
    machine = await prepareMachine();
  });

  it("boots by UEFI, beside a TPM, a watchdog, a tablet, a sound card and a virtio screen", async (t) => {
    const domain: Partial<LaunchDomain> = {
      efi: { secureBoot: false },
      // The kernel's EFI stub unpacks it beside OVMF's own 64 MiB and more.
      memoryBytes: 512 * 1024 * 1024,
      graphics: true,
      video: "virtio",
      sound: "ich9",
      watchdog: { action: "poweroff" },
      tpm: true,
      inputs: [{ name: "pen", bus: "usb" }],
    };
    const container = await startContainer(t, machine, tinySpec({ domain }));
    const agent = await attach(container);
    await container.printed(/:~# /, FIRMWARE_DEADLINE_MS);
    const console = await agent.open("/v1/console");
    await ask(console, "test -d /sys/firmware/efi && echo efi=$((6*7))", /efi=42/);
    // OVMF measures what it starts: the register of the boot loader's code is no longer what the TPM began with.
    const registers = "/sys/class/tpm/tpm0/pcr-sha256";
    await ask(
      console,
      `test -s ${registers}/4 && ! grep -q 0000000000 ${registers}/4 && echo tpm=$((6*7))`,
      /tpm=42/,
    );
    await agent.request("POST", "/v1/shutdown", { body: { gracePeriodSeconds: 0 } });
    await container.exited();
  });

  it("starts from a disk by UEFI, and by secure boot only from one that somebody known has signed", async (t) => {
    const rootDisk = await bootDisk(t, join(machine.guest, "boot", "vmlinuz"));
    for (const [secureBoot, outcome] of [
      [false, /starting Boot\d+ .* from PciRoot/],
      [true, /failed to load Boot\d+ .* from PciRoot.*: Access Denied/],
    ] as const) {
      const { kernelBoot: _, ...domain } = tinySpec().domain;
      const spec = { ...tinySpec({ disks: [root] }), domain: { ...domain, efi: { secureBoot } } };
      const container = await startContainer(t, machine, spec, { rootDisk });
      const agent = await attach(container);
      await container.printed(outcome, FIRMWARE_DEADLINE_MS);
      await agent.request("POST", "/v1/shutdown", { body: { gracePeriodSeconds: 0 } });
      await container.exited();
    }
  });
});

const root: LaunchDisk = {
  ...{ name: "root", device: "disk", bus: "virtio", readonly: false },
  source: {
    kind: "containerDisk",
    imageDirectory: `${LAUNCHER_PATHS.volumes}/root`,
    overlayPath: `${LAUNCHER_PATHS.scratch}/root.qcow2`,
  },
};

/** A file system with a program where UEFI looks for one; Debian's kernel is one, signed by Debian alone. */
async function bootDisk(t: TestContext, program: string): Promise<string> {
  await needTools(["mformat", "mmd", "mcopy"]);
  const directory = await mkdtemp(join(tmpdir(), "efi-"));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, "disk.img");
  await writeFile(path, "");
  await truncate(path, 64 * 1024 * 1024);
  await run("mformat", ["-i", path, "-F", "::"]);
  await run("mmd", ["-i", path, "::/EFI", "::/EFI/BOOT"]);
  await run("mcopy", ["-i", path, program, "::/EFI/BOOT/BOOTX64.EFI"]);
  return path;
}
