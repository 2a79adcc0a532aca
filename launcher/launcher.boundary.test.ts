/**
 * The whole launcher, in a container of its own image, with real libvirtd and qemu (TCG), a real guest, and a fake
 * agent. Needs root, for namespaces; the images' layers are built first where they aren't cached.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { before, describe, it, type TestContext } from "node:test";
import type { LaunchSpec } from "../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../api/names.ts";
import { type Machine, prepareMachine } from "../images/guest-tiny/boot.ts";
import { retry } from "../lib/backoff.ts";
import type { Http2Client } from "../transport/client.ts";
import { type Container, statusWhere } from "./testing/container.ts";
import { ask, attach, BOOTED, GUEST_DEADLINE_MS, startContainer, tinySpec } from "./testing/guest.ts";

let machine: Machine;

const spec = tinySpec;

function start(t: TestContext, launchSpec: LaunchSpec): Promise<Container> {
  return startContainer(t, machine, launchSpec);
}

async function booted(
  t: TestContext,
  launchSpec = spec(),
): Promise<{ container: Container; agent: Http2Client }> {
  const container = await start(t, launchSpec);
  const agent = await attach(container);
  await container.printed(BOOTED, GUEST_DEADLINE_MS);
  return { container, agent };
}

async function exactlyOne(container: Container, name: string): Promise<number> {
  const found = await container.processes(name);
  assert.equal(found.length, 1, `${name}: ${found}`);
  return found[0] ?? 0;
}

describe("a launcher with a guest", { timeout: 600_000 }, () => {
  before(async () => {
    machine = await prepareMachine();
  });

  it("boots it, tells each step, and ends cleanly within 2 s of SIGTERM", async (t) => {
    const { container, agent } = await booted(t);
    const status = await statusWhere(agent, ({ machineType }) => machineType !== undefined);
    assert.equal(status.phase, "running");
    assert.match(status.machineType ?? "", /^pc-q35-/);
    for (const step of ["networkReady", "libvirtReady", "disksReady", "domainStarted"] as const) {
      assert(
        status.timeline[step] !== undefined && status.timeline[step] >= status.timeline.launcherStarted,
        step,
      );
    }
    t.diagnostic(JSON.stringify(status.timeline));

    const stopped = statusWhere(agent, ({ phase }) => phase === "stopped");
    const askedAtMs = performance.now();
    await container.stop();
    assert.equal(await container.exited(), 0);
    const elapsedMs = performance.now() - askedAtMs;
    t.diagnostic(`SIGTERM to exit: ${elapsedMs.toFixed(0)} ms`);
    assert(elapsedMs < 2_000, `${elapsedMs} ms`);
    const end = await container.end();
    assert.deepEqual([end.reason, end.code, end.acpiRequested], ["shutdown", "GuestPoweredOff", true]);
    assert.deepEqual((await stopped).end, end);
  });

  it("gives its console to a client, and the guest's log stays on stdout", async (t) => {
    const { container, agent } = await booted(t);
    const console = await agent.open("/v1/console");
    await ask(console, "echo answer=$((6*7))", /answer=42/);
    await container.printed(/answer=42/);

    const displaced = once(console, "end", { signal: AbortSignal.timeout(30_000) });
    console.resume();
    const newer = await agent.open("/v1/console");
    await displaced;
    await ask(newer, "echo again=$((6*8))", /again=48/);
    newer.close();
    await assert.rejects(agent.open("/v1/vnc"), { status: 404, code: "VncAbsent" });
  });

  it("keeps it through the death of libvirtd and of the agent, and still stops it", async (t) => {
    const { container, agent } = await booted(t);
    process.kill(await exactlyOne(container, "libvirtd"), "SIGKILL");
    const reconnected = container.connection();
    agent.destroy();
    const next = await reconnected;
    await next.request("PUT", "/v1/attachment", { body: { ok: true, interfaces: [] } });
    await assert.rejects(
      next.request("PUT", "/v1/attachment", { body: { ok: false, code: "X", message: "changed its mind" } }),
      { status: 409, code: "AttachmentChanged" },
    );
    const console = await next.open("/v1/console");
    await ask(console, "echo alive=$((6*7))", /alive=42/);

    // libvirtd is away for a moment, and says so.
    await retry(() => next.request("POST", "/v1/pause"), {
      attempts: 50,
      initialMs: 20,
      maxMs: 200,
      isRetriable: (error) => (error as { code?: string }).code === "LibvirtUnavailable",
    });
    const paused = await statusWhere(next, (status) => status.paused !== undefined);
    assert.equal(paused.paused?.reason, "user");
    await next.request("POST", "/v1/unpause");
    await statusWhere(next, (status) => status.paused === undefined);
    assert.equal((await container.processes("qemu-system")).length, 1);

    await next.request("POST", "/v1/shutdown", { body: { gracePeriodSeconds: 30 } });
    assert.equal(await container.exited(), 0);
    assert.equal((await container.end()).reason, "shutdown");
  });

  it("destroys it at once on a grace period of 0", async (t) => {
    const { container, agent } = await booted(t);
    await agent.request("POST", "/v1/shutdown", { body: { gracePeriodSeconds: 0 } });
    assert.equal(await container.exited(5_000), 0);
    const end = await container.end();
    assert.deepEqual([end.reason, end.acpiRequested], ["destroyed", false]);
  });

  it("destroys one that ignores ACPI at its deadline, and fails", async (t) => {
    const { container } = await booted(
      t,
      spec({
        gracePeriodSeconds: 1,
        domain: {
          kernelBoot: {
            kernelPath: `${LAUNCHER_PATHS.kernelBoot}/vmlinuz`,
            initrdPath: `${LAUNCHER_PATHS.kernelBoot}/initrd.gz`,
            kernelArgs: "console=ttyS0 quiet virtpod.noacpi=1",
          },
        },
      }),
    );
    await container.stop();
    assert.equal(await container.exited(10_000), 1);
    const end = await container.end();
    assert.deepEqual([end.reason, end.acpiRequested], ["destroyed", true]);
  });

  it("fails when its qemu is killed", async (t) => {
    const { container } = await booted(t);
    process.kill(await exactlyOne(container, "qemu-system"), "SIGKILL");
    assert.equal(await container.exited(10_000), 1);
    const { reason, code, message } = await container.end();
    assert.deepEqual([reason, code], ["crashed", "QemuCrashed"]);
    assert.match(message, /said nothing: it was ended by a signal/);
  });

  it("fails when its kernel panics", async (t) => {
    const { container, agent } = await booted(t);
    const console = await agent.open("/v1/console");
    console.resume();
    console.write("panic\n");
    assert.equal(await container.exited(10_000), 1);
    assert.deepEqual(
      [(await container.end()).reason, (await container.end()).code],
      ["panicked", "GuestPanicked"],
    );
  });

  it("starts it paused where the spec says so, and lets it run when it is unpaused", async (t) => {
    const container = await start(t, { ...spec(), startPaused: true });
    const agent = await attach(container);
    const paused = await statusWhere(agent, ({ phase }) => phase === "running");
    assert.equal(paused.paused?.reason, "startPaused");
    assert.equal(container.stdout, "");
    await agent.request("POST", "/v1/unpause");
    await container.printed(BOOTED, GUEST_DEADLINE_MS);
    const status = await statusWhere(agent, ({ phase }) => phase === "running");
    assert.equal(status.paused, undefined);
    await agent.request("POST", "/v1/reset");
    await container.printed(/:~# .*:~# /s, GUEST_DEADLINE_MS);
  });

  it("boots it from a containerDisk through an overlay, beside an emptyDisk, and shows its screen by VNC", async (t) => {
    const { kernelBoot: _, ...domain } = spec().domain;
    const disk = { device: "disk", bus: "virtio", readonly: false } as const;
    const launchSpec: LaunchSpec = {
      ...spec(),
      domain: { ...domain, graphics: true },
      disks: [
        {
          ...disk,
          name: "root",
          bootOrder: 1,
          source: {
            kind: "containerDisk",
            imageDirectory: `${LAUNCHER_PATHS.volumes}/root`,
            overlayPath: `${LAUNCHER_PATHS.scratch}/root.qcow2`,
          },
        },
        {
          ...disk,
          name: "empty",
          source: {
            kind: "emptyDisk",
            path: `${LAUNCHER_PATHS.scratch}/empty.qcow2`,
            capacityBytes: 64 * 1024 * 1024,
          },
        },
      ],
    };
    const { container, agent } = await booted(t, launchSpec);
    const console = await agent.open("/v1/console");
    await ask(console, "cat /proc/partitions", /65536 vdb/);
    const screen = await agent.open("/v1/vnc");
    const [greeting] = (await once(screen, "data", { signal: AbortSignal.timeout(30_000) })) as [Buffer];
    assert.match(greeting.toString("latin1"), /^RFB 003\.\d{3}\n$/);
    screen.close();
    await container.stop();
    assert.equal(await container.exited(), 0);
  });
});

describe("a launcher that can't start its guest", { timeout: 120_000 }, () => {
  before(async () => {
    machine = await prepareMachine();
  });

  it("ends with the agent's reason when the agent refuses the pod its network", async (t) => {
    const container = await start(t, spec());
    const agent = await container.connection();
    const stopped = statusWhere(agent, ({ phase }) => phase === "stopped");
    await agent.request("PUT", "/v1/attachment", { body: { ok: false, code: "HostNetwork", message: "no" } });
    assert.equal(await container.exited(), 1);
    assert.deepEqual(await container.end(), {
      reason: "failed",
      acpiRequested: false,
      code: "HostNetwork",
      message: "no",
    });
    assert.equal((await stopped).end?.code, "HostNetwork");
  });

  it("ends with qemu's own words when qemu refuses the domain", async (t) => {
    const container = await start(
      t,
      spec({ domain: { kernelBoot: { kernelPath: `${LAUNCHER_PATHS.kernelBoot}/nothing` } } }),
    );
    await attach(container);
    assert.equal(await container.exited(), 1);
    const end = await container.end();
    assert.equal(end.reason, "failed");
    assert.match(end.message, /nothing/);
  });

  it("ends at once when it is stopped before it has begun", async (t) => {
    const container = await start(t, spec());
    await container.connection();
    await container.stop();
    assert.equal(await container.exited(5_000), 0);
    assert.equal((await container.end()).code, "StoppedBeforeStart");
  });
});
