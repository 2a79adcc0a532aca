/** The launcher's parts as they are wired, between an agent on a real socket and a libvirtd that is made up. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import type { LauncherStatus } from "../api/launcher-protocol.ts";
import { FakeClock } from "../lib/fake-clock.ts";
import { Http2Client } from "../transport/client.ts";
import { SMALL_SPEC } from "./domain/spec.fixture.ts";
import { LauncherError } from "./errors.ts";
import { Launcher } from "./launcher.ts";
import type { Hypervisor, HypervisorListener } from "./lifecycle/hypervisor.ts";

const done = async () => {};
const quiet = () => {};

class FakeHypervisor implements Hypervisor {
  readonly listener: HypervisorListener;
  /** The create call, and its answer. */
  readonly asked = Promise.withResolvers<void>();
  readonly answer = Promise.withResolvers<void>();
  reads = 0;

  constructor(listener: HypervisorListener) {
    this.listener = listener;
  }

  run(): void {
    this.listener.onReady();
  }

  create(): Promise<void> {
    this.asked.resolve();
    return this.answer.promise;
  }

  async machineType(): Promise<string> {
    this.reads += 1;
    return "pc-q35-10.0";
  }

  acpiShutdown = done;
  destroy = done;
  pause = done;
  resume = done;
  reset = done;
  softReboot = done;
  statistics = () => Promise.reject(new LauncherError("LibvirtUnavailable", "away"));
  close = quiet;
}

/** A launcher whose create call is under way, and what it tells of itself. */
async function starting(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "launcher-"));
  const path = (name: string) => join(folder, name);
  const server = createServer().listen(path("agent"));
  await once(server, "listening");
  const connected = once(server, "connection") as Promise<[Socket]>;
  const libvirt = Promise.withResolvers<FakeHypervisor>();
  const launcher = new Launcher({
    spec: { ...SMALL_SPEC, domain: { ...SMALL_SPEC.domain, serialConsole: false } },
    paths: {
      agentSocket: path("agent"),
      terminationMessage: path("termination"),
      serialSocket: path("serial"),
      vncSocket: path("vnc"),
      probeSocket: path("probe"),
    },
    resolvConf: "",
    stdout: new PassThrough(),
    clock: new FakeClock(),
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet, fatal: quiet },
    createHypervisor: (listener) => {
      const hypervisor = new FakeHypervisor(listener);
      libvirt.resolve(hypervisor);
      return hypervisor;
    },
    connectGuestAgent: () => Promise.reject(new Error("none")),
    domainXml: () => "<domain/>",
    qemuTraces: () => ({ isOutOfMemory: false }),
  });
  const ended = launcher.run();
  const hypervisor = await libvirt.promise;
  const agent = new Http2Client((await connected)[0]);
  t.after(async () => {
    hypervisor.listener.onFact({ kind: "gone", how: "unknown" });
    agent.destroy();
    await ended;
    server.close();
    await rm(folder, { recursive: true });
  });
  await agent.request("PUT", "/v1/attachment", { body: { ok: true, interfaces: [] } });
  await hypervisor.asked.promise;
  const told = async (): Promise<LauncherStatus> => {
    for await (const line of agent.lines("/v1/status")) return line as LauncherStatus;
    throw new Error("the launcher told nothing");
  };
  return { hypervisor, told };
}

describe("a guest's start is told with its machine type", () => {
  it("when the create call is answered, and read no second time", async (t) => {
    const { hypervisor, told } = await starting(t);
    hypervisor.listener.onFact({ kind: "started" });
    hypervisor.answer.resolve();
    const { phase, machineType } = await told();
    assert.deepEqual([phase, machineType], ["running", "pc-q35-10.0"]);
    hypervisor.listener.onReconnected();
    assert.equal(hypervisor.reads, 1);
  });

  it("where libvirtd dies between the start and the create call's answer", async (t) => {
    const { hypervisor, told } = await starting(t);
    hypervisor.answer.reject(new LauncherError("LibvirtUnavailable", "libvirtd closed the connection"));
    hypervisor.listener.onFact({ kind: "running" });
    hypervisor.listener.onReconnected();
    const { phase, machineType } = await told();
    assert.deepEqual([phase, machineType], ["running", "pc-q35-10.0"]);
  });

  it("not where libvirtd dies before the start", async (t) => {
    const { hypervisor, told } = await starting(t);
    hypervisor.listener.onReconnected();
    assert.equal((await told()).phase, "starting");
    assert.equal(hypervisor.reads, 0);
  });
});
