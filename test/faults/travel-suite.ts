/** Time travel: the operator restarts against a cluster as it was K events ago, and only then learns of the rest. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Client } from "../../kube/client.ts";
import { compareResourceVersions, type KubeObject, type ResourceDescriptor } from "../../kube/objects.ts";
import { PODS } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { describeWrite } from "./journal.ts";
import { type Company, RESTARTED } from "./ordeal.ts";

/** How many places of the past are gone back to, spread over all of it. */
const JOURNEYS = 8;
/** VMs, VMIs, pods. */
const COLLECTIONS = 3;

export function travelSuite(company: () => Company): void {
  describe("an operator that starts in the past makes and deletes nothing, and catches up", () => {
    it("with a VM that runs for the second time", async () => {
      const { lives, oracle } = company();
      await travel(company(), "traveller", JOURNEYS, async (name) => {
        await oracle.assertOutcome(RESTARTED, name);
        assert.equal((await lives.uids(name)).length, 3, "VM, VMI and pod");
      });
    });

    it("with a VM that was stopped for good", async () => {
      const { lives } = company();
      await travel(company(), "rester", JOURNEYS / 2, async (name) => {
        await lives.stop(name);
        assert.equal((await lives.uids(name)).length, 1, "the VM and nothing else");
      });
    });
  });
}

/**
 * A life, then restarts at places of its past. The VM's name goes to a second VMI: what is told of the first must not
 * be done to it.
 * @param arrive brings the VM to its end, and is called again after each journey to see that it is there
 */
async function travel(
  { stage, proxy, lives }: Company,
  name: string,
  journeys: number,
  arrive: (name: string) => Promise<void>,
): Promise<void> {
  const chronicle = await Chronicle.start(stage.client, lives.namespace);
  let operator = stage.start();
  try {
    await operator.untilLeading();
    await lives.create(name);
    await lives.untilRunning(name);
    await lives.stop(name);
    await lives.start(name);
    await arrive(name);
    await operator.untilIdle();
    const past = chronicle.versions;
    assert.ok(past.length >= 2 * journeys, `a life of ${past.length} events is too short to go back in`);
    const before = await lives.uids(name);
    for (const version of spread(past, journeys)) {
      const eventsAgo = `${past.length - past.indexOf(version) - 1} events ago`;
      await operator.kill();
      await stage.freeLease();
      const since = proxy.journal.writes.length;
      proxy.timeTravel.goBackTo(version);
      operator = stage.start();
      await operator.untilLeading();
      await operator.untilIdle();
      assert.ok(proxy.timeTravel.catchUp() >= COLLECTIONS, "the operator did not list as of then");
      await operator.untilIdle();
      // What it tells meanwhile may be as old as what it sees: statuses and events.
      const accepted = proxy.journal
        .changesSince(since, [lives.namespace])
        .filter(({ status, exchange }) => status < 300 && !/^events$|\/status$/.test(exchange.resource));
      assert.deepEqual(accepted.map(describeWrite), [], eventsAgo);
      assert.deepEqual(await lives.uids(name), before, eventsAgo);
      await arrive(name);
      await operator.untilIdle();
    }
    await lives.remove(name);
  } finally {
    proxy.timeTravel.catchUp();
    await lives.sweep([name]);
    await operator.stop();
    await chronicle.close();
  }
}

/** So many of the values, the first and the last but one among them: the last is the present. */
function spread<T>(values: readonly T[], count: number): T[] {
  const last = values.length - 2;
  const places = Array.from({ length: count }, (_, index) => Math.round((index * last) / (count - 1)));
  return [...new Set(places)].flatMap((place) => values[place] ?? []);
}

/** The revisions at which something of ours changed, past every fault. */
class Chronicle {
  readonly #versions: string[] = [];
  readonly #stop = new AbortController();
  readonly #watching: Promise<unknown>;

  private constructor(watching: (chronicle: Chronicle) => Promise<unknown>) {
    this.#watching = watching(this);
  }

  static async start(client: Client, namespace: string): Promise<Chronicle> {
    const { resourceVersion } = await client.resource(PODS).namespace(namespace).list();
    return new Chronicle((chronicle) =>
      Promise.all([
        chronicle.#follow(client, VIRTUAL_MACHINES, namespace, resourceVersion),
        chronicle.#follow(client, VIRTUAL_MACHINE_INSTANCES, namespace, resourceVersion),
        chronicle.#follow(client, PODS, namespace, resourceVersion),
      ]),
    );
  }

  /** From the oldest to the newest. */
  get versions(): string[] {
    return this.#versions.toSorted(compareResourceVersions);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  async #follow<T extends KubeObject>(
    client: Client,
    kind: ResourceDescriptor<T>,
    namespace: string,
    resourceVersion: string,
  ): Promise<void> {
    const { signal } = this.#stop;
    try {
      for await (const event of client
        .resource(kind)
        .namespace(namespace)
        .watch({ resourceVersion, signal })) {
        if (event.type !== "BOOKMARK") this.#versions.push(event.object.metadata.resourceVersion ?? "");
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
