/** A guest whose disk lies on a file system that runs full, with the whole launcher, libvirtd and qemu. */
import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { before, describe, it } from "node:test";
import type { LaunchDisk } from "../../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import { type Machine, prepareMachine } from "../../images/guest-tiny/boot.ts";
import { statusWhere } from "../testing/container.ts";
import { ask, attach, BOOTED, GUEST_DEADLINE_MS, startContainer, tinySpec } from "../testing/guest.ts";

const MIB = 1024 * 1024;

describe("a guest that fills the file system of its disk", { timeout: 300_000 }, () => {
  let machine: Machine;
  before(async () => {
    machine = await prepareMachine();
  });

  it("stands still with the disk's name, goes on by itself once there is room, and has lost nothing", async (t) => {
    const data: LaunchDisk = {
      ...{ name: "data", device: "disk", bus: "virtio", readonly: false },
      source: { kind: "file", path: `${LAUNCHER_PATHS.scratch}/disk.img`, capacityBytes: 14 * MIB },
    };
    const container = await startContainer(t, machine, tinySpec({ disks: [data] }), {
      scratchBytes: 16 * MIB,
    });
    const agent = await attach(container);
    await container.printed(BOOTED, GUEST_DEADLINE_MS);
    const ballast = await container.path(`${LAUNCHER_PATHS.scratch}/ballast`);
    await writeFile(ballast, Buffer.alloc(10 * MIB));

    const console = await agent.open("/v1/console");
    await ask(console, "echo shell=$((6*6))", /shell=36/);
    console.write(
      "yes virtpod | dd of=/dev/vda bs=1024k count=8 iflag=fullblock; sync; echo copied=$((6*7))\n",
    );
    const paused = await statusWhere(agent, (status) => status.paused !== undefined, GUEST_DEADLINE_MS * 2);
    assert.equal(paused.phase, "running");
    assert.equal(paused.paused?.reason, "ioError");
    assert.match(paused.paused?.message ?? "", /^disk data: no room is left/);

    await rm(ballast);
    await statusWhere(agent, (status) => status.paused === undefined);
    await container.printed(/copied=42/, GUEST_DEADLINE_MS);
    const written = await readFile(await container.path(`${LAUNCHER_PATHS.scratch}/disk.img`));
    assert(written.subarray(0, 8 * MIB).equals(Buffer.alloc(8 * MIB, "virtpod\n")));
    await agent.request("POST", "/v1/shutdown", { body: { gracePeriodSeconds: 0 } });
    await container.exited();
  });
});
