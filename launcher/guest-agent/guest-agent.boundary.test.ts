/**
 * The guest agent through a real launcher, libvirtd, qemu and guest. The agent itself is a fake one outside: the
 * guest's shell passes the bytes of the channel on to its console.
 */
import assert from "node:assert/strict";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { before, describe, it, type TestContext } from "node:test";
import type { GuestAgentInfo } from "../../api/guest-agent.ts";
import type { LaunchSpec } from "../../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import { type Machine, prepareMachine } from "../../images/guest-tiny/boot.ts";
import type { Http2Client } from "../../transport/client.ts";
import { Container, statusWhere } from "../testing/container.ts";
import { FakeGuestAgent } from "./fake-guest-agent.ts";

const SPEC: LaunchSpec = {
  version: 1,
  namespace: "default",
  name: "tiny",
  uid: "0f4e6a52-6c7b-4c1e-9a63-0b6a6e1b2c3d",
  disks: [],
  interfaces: [],
  hostname: "tiny",
  gracePeriodSeconds: 30,
  startPaused: false,
  domain: {
    uuid: "5d2f0c0e-7f8b-4d7e-9a51-0e6f3a1c2b4e",
    machineType: "q35",
    accelerator: "tcg",
    cpu: { sockets: 1, cores: 1, threads: 1, model: "host-model" },
    memoryBytes: 128 * 1024 * 1024,
    tcgCacheBytes: 64 * 1024 * 1024,
    kernelBoot: {
      kernelPath: `${LAUNCHER_PATHS.kernelBoot}/vmlinuz`,
      initrdPath: `${LAUNCHER_PATHS.kernelBoot}/initrd.gz`,
      kernelArgs: "console=ttyS0 quiet",
    },
    graphics: false,
    serialConsole: true,
    memBalloon: false,
    rng: false,
  },
};

let machine: Machine;

interface Bench {
  readonly container: Container;
  /** Of the node's agent. */
  readonly agent: Http2Client;
  readonly guestAgent: FakeGuestAgent;
  readonly console: Duplex;
}

async function booted(t: TestContext): Promise<Bench> {
  const container = await Container.start({
    root: machine.root,
    spec: SPEC,
    fill: async (folder) => {
      for (const file of ["vmlinuz", "initrd.gz"]) {
        await copyFile(join(machine.guest, "boot", file), join(folder("kernel-boot"), file));
      }
    },
  });
  t.after(() => container.remove());
  const agent = await container.connection();
  await agent.request("PUT", "/v1/attachment", { body: { ok: true, interfaces: [] } });
  await container.printed(/:~# /);
  const console = await agent.open("/v1/console");
  return { container, agent, console, guestAgent: await relayed(console) };
}

/** From then on the console carries the channel's bytes and nothing else. */
async function relayed(console: Duplex): Promise<FakeGuestAgent> {
  const begun = new Promise<void>((resolve) => {
    let text = "";
    const read = (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (!text.includes("relay=begins")) return;
      console.off("data", read);
      resolve();
    };
    console.on("data", read);
  });
  console.write("stty raw -echo; echo relay=begin''s; exec 3<>/dev/vport0p1; cat <&3 & exec cat >&3\n");
  await begun;
  return new FakeGuestAgent(console);
}

describe("a guest agent", { timeout: 600_000 }, () => {
  before(async () => {
    machine = await prepareMachine();
  });

  it("is told of with what it says, and answers for what it said", async (t) => {
    const { agent } = await booted(t);
    const status = await statusWhere(agent, ({ guestAgent }) => guestAgent !== undefined);
    assert.equal(status.guestAgent?.os?.prettyName, "Debian GNU/Linux 13 (trixie)");
    assert.equal(status.guestAgent.unsupported, undefined);
    const info = (await agent.request("GET", "/v1/guest-agent")) as GuestAgentInfo;
    t.diagnostic(JSON.stringify(info));
    assert.equal(info.hostname, "guest");
  });
});
