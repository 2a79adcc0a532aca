/** What must hold after every disturbance: the undisturbed run's objects, and nothing left to write. */
import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { SYSTEM } from "../harness/system.ts";
import { describeWrite, type Write } from "./journal.ts";
import type { Keeper } from "./keeper.ts";
import type { Lives, Outcome } from "./life.ts";
import type { FaultProxy } from "./proxy.ts";

const RESYNCS = 10;
/** Objects get there one by one: the kubelet's last status comes after the operator's. */
const CONVERGENCE_MS = 30_000;
const LOOK_MS = 30;

export class Oracle {
  readonly #proxy: FaultProxy;
  readonly #lives: Lives;
  readonly #convergenceMs: number;
  readonly #expected = new Map<string, Outcome>();

  /** @param convergenceMs how long objects may take to get there, once the first of them is */
  constructor(proxy: FaultProxy, lives: Lives, convergenceMs = CONVERGENCE_MS) {
    this.#proxy = proxy;
    this.#lives = lives;
    this.#convergenceMs = convergenceMs;
  }

  /** Keeps what an undisturbed life came to. */
  async learn(life: string, name: string): Promise<void> {
    await this.#lives.untilPodReady(name);
    this.#expected.set(life, await this.#lives.outcome(name));
  }

  /** @throws AssertionError with the difference when a life has not come to the same in time */
  async assertOutcome(life: string, name: string): Promise<void> {
    const expected = this.#expected.get(life);
    assert.ok(expected !== undefined, `no undisturbed run taught what a ${life} VM looks like`);
    const deadline = Date.now() + this.#convergenceMs;
    for (;;) {
      const outcome = await this.#lives.outcome(name);
      if (isDeepStrictEqual(outcome, expected)) return;
      if (Date.now() > deadline) assert.deepEqual(outcome, expected);
      await setTimeout(LOOK_MS);
    }
  }

  /**
   * Ten resyncs and a restart (unless told) write nothing. Each resync must have been looked at: the reconciles are counted.
   * @param vms how many VMs run
   */
  async assertQuiet(
    keeper: Keeper,
    vms: number,
    { restarts = true }: { readonly restarts?: boolean } = {},
  ): Promise<void> {
    let operator = await keeper.untilLeading();
    await operator.untilIdle();
    const since = { writes: this.#proxy.journal.writes.length, ms: Date.now() };
    for (let resync = 1; resync <= RESYNCS; resync++) {
      const before = await operator.reconciles();
      const told = await this.#proxy.resync();
      // VM, VMI and pod of each; the VM and its VMI are looked at.
      assert.ok(told >= 3 * vms, `resync ${resync} showed only ${told} objects`);
      await untilMore(() => operator.reconciles(), before + 2 * vms);
    }
    await operator.untilIdle();
    this.#assertUnchanged(since, `${RESYNCS} resyncs`);
    if (!restarts) return;
    await keeper.restart();
    operator = await keeper.untilLeading();
    await untilMore(() => operator.reconciles(), 2 * vms);
    await operator.untilIdle();
    this.#assertUnchanged(since, "a restart");
  }

  #assertUnchanged(since: { readonly writes: number; readonly ms: number }, what: string): void {
    // Somebody else's VMs elsewhere in the cluster may go their own ways.
    const namespaces = [this.#lives.namespace, SYSTEM];
    const changes = this.#proxy.journal
      .changesSince(since.writes, namespaces)
      .filter((write) => !isLateEvent(write, since.ms))
      .map(describeWrite);
    assert.deepEqual(changes, [], `${what} wrote`);
  }
}

/** An event of what happened before, whose telling a fault held up: it is tried again for two minutes. */
function isLateEvent({ exchange: { resource, body } }: Write, sinceMs: number): boolean {
  const { lastTimestamp = "" } = (body ?? {}) as { lastTimestamp?: string };
  return resource === "events" && Date.parse(lastTimestamp) < sinceMs;
}

async function untilMore(count: () => Promise<number>, least: number): Promise<void> {
  const deadline = Date.now() + CONVERGENCE_MS;
  for (let seen = await count(); seen < least; seen = await count()) {
    assert.ok(Date.now() < deadline, `${seen} reconciles, not ${least}: the objects were not looked at`);
    await setTimeout(LOOK_MS);
  }
}
