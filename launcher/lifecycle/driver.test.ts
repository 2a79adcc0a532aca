import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { FakeClock } from "../../lib/fake-clock.ts";
import { LauncherError } from "../errors.ts";
import { type DomainPort, Driver } from "./driver.ts";
import type { MachineState, RoomFinding } from "./events.ts";

/** A domain that records what it is told and answers as the test says. */
class FakeDomain implements DomainPort {
  readonly calls: string[] = [];
  failure: Error | undefined;

  create = () => this.#call("create");
  acpiShutdown = () => this.#call("acpiShutdown");
  destroy = () => this.#call("destroy");
  pause = () => this.#call("pause");
  resume = () => this.#call("resume");
  reset = () => this.#call("reset");
  softReboot = () => this.#call("softReboot");
  finding: RoomFinding = "none";
  lookForRoom = async (disk: string | undefined) => {
    this.calls.push(`lookForRoom ${disk}`);
    return this.finding;
  };

  #call(name: string): Promise<void> {
    this.calls.push(name);
    return this.failure === undefined ? Promise.resolve() : Promise.reject(this.failure);
  }
}

interface Bench {
  readonly domain: FakeDomain;
  readonly clock: FakeClock;
  readonly driver: Driver;
  readonly states: MachineState[];
  readonly warnings: string[];
}

function bench(): Bench {
  const domain = new FakeDomain();
  const clock = new FakeClock();
  const states: MachineState[] = [];
  const warnings: string[] = [];
  const quiet = () => {};
  const log = {
    debug: quiet,
    info: quiet,
    error: quiet,
    fatal: quiet,
    warn: (_: object, text: string) => void warnings.push(text),
  };
  const driver = new Driver({
    startPaused: false,
    domain,
    clock,
    log,
    onChange: (state) => states.push(state),
  });
  return { domain, clock, driver, states, warnings };
}

function prepare({ driver }: Bench): void {
  for (const step of ["network", "libvirt", "disks"] as const) driver.dispatch({ type: "prepared", step });
}

/** Lets the promises settle that are settled already. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function running(_: TestContext): Promise<Bench> {
  const made = bench();
  prepare(made);
  await settle();
  assert.equal(made.driver.state.phase, "running");
  return made;
}

describe("the driver", () => {
  it("creates the domain once prepared and tells each change of state", async (t) => {
    const { domain, states } = await running(t);
    assert.deepEqual(domain.calls, ["create"]);
    assert.deepEqual(
      states.map((state) => state.phase),
      ["preparing", "preparing", "starting", "running"],
    );
  });

  it("ends with the create call's failure", async () => {
    const made = bench();
    made.domain.failure = new LauncherError("DomainCreation", "no such machine type");
    prepare(made);
    const end = await made.driver.ended;
    assert.deepEqual(
      [end.reason, end.code, end.message],
      ["failed", "DomainCreation", "no such machine type"],
    );
  });

  it("waits for the state after a reconnect when libvirtd died in the create call", async () => {
    const made = bench();
    made.domain.failure = new LauncherError("LibvirtUnavailable", "libvirtd is away");
    prepare(made);
    await settle();
    assert.equal(made.driver.state.phase, "starting");
    made.driver.dispatch({ type: "domain", fact: { kind: "running" } });
    assert.equal(made.driver.state.phase, "running");
  });

  it("asks every 5 s and destroys at the deadline, on its clock", async (t) => {
    const { driver, domain, clock } = await running(t);
    driver.dispatch({ type: "shutdownRequested", gracePeriodMs: 12_000 });
    clock.advance(11_999);
    assert.deepEqual(domain.calls, ["create", "acpiShutdown", "acpiShutdown", "acpiShutdown"]);
    clock.advance(1);
    assert.equal(domain.calls.at(-1), "destroy");
    driver.dispatch({ type: "domain", fact: { kind: "gone", how: "destroyed" } });
    assert.equal((await driver.ended).reason, "destroyed");
    assert.equal(clock.pending, 0);
  });

  it("goes on to the deadline when libvirt fails every call", async (t) => {
    const { driver, domain, clock, warnings } = await running(t);
    domain.failure = new LauncherError("LibvirtUnavailable", "libvirtd is away");
    driver.dispatch({ type: "shutdownRequested", gracePeriodMs: 12_000 });
    clock.advance(60_000);
    assert.equal((await driver.ended).code, "DestroyUnconfirmed");
    assert(warnings.includes("cannot ask the guest to power off"));
    assert(warnings.includes("cannot destroy the domain"));
  });
});

describe("a disk out of room", () => {
  const failure = { disk: "data", isOutOfRoom: true } as const;

  async function stopped(t: TestContext): Promise<Bench> {
    const made = await running(t);
    made.driver.dispatch({ type: "domain", fact: { kind: "diskFailed", failure } });
    made.driver.dispatch({ type: "domain", fact: { kind: "paused", reason: "ioError" } });
    return made;
  }

  it("is looked after ever more seldom, and its guest goes on once there is some", async (t) => {
    const { domain, clock, driver } = await stopped(t);
    for (const delayMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      clock.advance(delayMs - 1);
      const before = domain.calls.length;
      clock.advance(1);
      assert.equal(domain.calls.at(-1), "lookForRoom data");
      assert.equal(domain.calls.length, before + 1);
      await settle();
    }
    domain.finding = "found";
    clock.advance(30_000);
    await settle();
    assert.equal(domain.calls.at(-1), "resume");
    driver.dispatch({ type: "domain", fact: { kind: "running" } });
    clock.advance(60_000);
    await settle();
    assert.equal(domain.calls.at(-1), "resume");
    assert.equal(driver.state.paused, undefined);
  });

  it("leaves its guest alone once a pause was asked for", async (t) => {
    const { domain, clock, driver } = await stopped(t);
    await driver.request("pause");
    assert.equal(driver.state.paused?.reason, "user");
    domain.finding = "found";
    clock.advance(600_000);
    await settle();
    assert(!domain.calls.includes("resume"));
    await driver.request("unpause");
    assert.equal(domain.calls.at(-1), "resume");
  });
});

describe("a request", () => {
  it("for the running domain reaches it", async (t) => {
    const { driver, domain } = await running(t);
    await driver.request("pause");
    driver.dispatch({ type: "domain", fact: { kind: "paused", reason: "user" } });
    await driver.request("unpause");
    await driver.request("reset");
    assert.deepEqual(domain.calls, ["create", "pause", "resume", "reset"]);
  });

  it("for what is so already is answered without asking libvirt", async (t) => {
    const { driver, domain } = await running(t);
    await driver.request("unpause");
    assert.deepEqual(domain.calls, ["create"]);
  });

  it("is refused by the state's name before the start, while stopping and after the end", async (t) => {
    const early = bench();
    await assert.rejects(early.driver.request("pause"), { status: 409, code: "DomainNotStarted" });
    const { driver } = await running(t);
    driver.dispatch({ type: "shutdownRequested", gracePeriodMs: 1_000 });
    await assert.rejects(driver.request("reset"), { status: 409, code: "DomainStopping" });
    driver.dispatch({ type: "domain", fact: { kind: "gone", how: "shutdown" } });
    await assert.rejects(driver.request("reset"), { status: 409, code: "DomainStopped" });
  });

  it("to reboot a paused guest is refused, for it could not perform it", async (t) => {
    const { driver } = await running(t);
    driver.dispatch({ type: "domain", fact: { kind: "paused", reason: "user" } });
    await assert.rejects(driver.request("soft-reboot"), { status: 409, code: "DomainPaused" });
  });

  it("that libvirt refuses carries libvirt's code, and 503 while libvirtd is away", async (t) => {
    const { driver, domain } = await running(t);
    domain.failure = Object.assign(new Error("internal error"), { code: "LibvirtError" });
    await assert.rejects(driver.request("reset"), {
      status: 500,
      code: "LibvirtError",
      message: "reset: internal error",
    });
    domain.failure = new LauncherError("LibvirtUnavailable", "libvirtd is away");
    await assert.rejects(driver.request("reset"), { status: 503, code: "LibvirtUnavailable" });
  });
});
