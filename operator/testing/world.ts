/** The operator's controllers, as they are, on an API server in memory with a node beside them. */
import assert from "node:assert/strict";
import { DEFAULT_CONFIGURATION } from "../../api/configuration.ts";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { Client } from "../../kube/client.ts";
import { anonymous } from "../../kube/config.ts";
import { ConnectionError } from "../../kube/errors.ts";
import { EventRecorder } from "../../kube/events.ts";
import { FakeApiServer, type FakeRequest } from "../../kube/fake/server.ts";
import { FakeTransport, fakeClient } from "../../kube/fake/transport.ts";
import { silentLogger } from "../../kube/logger.ts";
import { KubeMetrics } from "../../kube/metrics.ts";
import {
  EVENTS,
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  POD_DISRUPTION_BUDGETS,
  PODS,
  type Pod,
} from "../../kube/resources.ts";
import type { Transport, TransportRequest, TransportResponse } from "../../kube/transport.ts";
import { FakeClock } from "../../lib/fake-clock.ts";
import { type Caches, informersOf, makeCaches } from "../caches.ts";
import type { OperatorConfig } from "../config.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../kinds.ts";
import { AgentPresence } from "../node/presence.ts";
import { Agents } from "../uplink/agents.ts";
import { Statuses } from "../uplink/statuses.ts";
import { VmController } from "../vm/controller.ts";
import { VmiController } from "../vmi/controller.ts";
import { AgentDouble } from "./agent.ts";
import { KubeletDouble } from "./kubelet.ts";

const USER_AGENT = "virtpod-operator";
export const NAMESPACE = "default";

const CONFIG: OperatorConfig = {
  podName: "operator-0",
  namespace: "virtpod",
  launcher: { image: "launcher:1", imagePullSecrets: [] },
};

/** A request that the server has carried out, and of which nobody gets the answer. */
class MortalTransport implements Transport {
  readonly host = "fake";
  readonly #inner: FakeTransport;
  readonly #dieAfterWrite: number;
  #writes = 0;
  isDead = false;

  constructor(server: FakeApiServer, dieAfterWrite: number) {
    this.#inner = new FakeTransport(server);
    this.#dieAfterWrite = dieAfterWrite;
  }

  async send(request: TransportRequest): Promise<TransportResponse> {
    if (this.isDead) throw new ConnectionError("this operator is dead");
    if (isWrite(request)) {
      this.#writes += 1;
      this.isDead = this.#writes === this.#dieAfterWrite;
    }
    const response = await this.#inner.send(request);
    if (this.isDead) throw new ConnectionError("this operator is dead");
    return response;
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

function isWrite({ method, path }: Pick<FakeRequest, "method" | "path">): boolean {
  return method !== "GET" && !path.includes("/events");
}

/** One process of the operator. */
export class OperatorProcess {
  readonly agents = new Agents();
  readonly caches: Caches;
  readonly statuses: Statuses;
  readonly presence: AgentPresence;
  readonly vm: VmController;
  readonly vmi: VmiController;
  /** What the announcer would tell; a test may put it off. */
  confirm = async (nodeName: string): Promise<boolean> =>
    this.agents.statusConnections().get(nodeName)?.isOpen === true;
  readonly #transport: MortalTransport;
  readonly #stop = new AbortController();
  readonly #runs: Promise<unknown>[];

  constructor(server: FakeApiServer, clock: FakeClock, dieAfterWrite: number, launcherImage: string) {
    this.#transport = new MortalTransport(server, dieAfterWrite);
    const client = new Client({
      transport: this.#transport,
      credentials: anonymous,
      userAgent: USER_AGENT,
      clock,
    });
    const metrics = new KubeMetrics();
    const shared = { client, logger: silentLogger, metrics, clock };
    this.caches = makeCaches(client, silentLogger, metrics, { freeze: true, clock });
    this.statuses = new Statuses(this.agents, () => {});
    this.presence = new AgentPresence(this.agents, clock);
    const events = new EventRecorder({ ...shared, component: "virtpod-operator" });
    this.vm = new VmController({ ...shared, caches: this.caches, events });
    this.vmi = new VmiController({
      ...shared,
      caches: this.caches,
      events,
      statuses: this.statuses,
      presence: this.presence,
      config: { ...CONFIG, launcher: { ...CONFIG.launcher, image: launcherImage } },
      configuration: { current: DEFAULT_CONFIGURATION },
      announcer: { confirm: (nodeName) => this.confirm(nodeName) },
    });
    this.statuses.start();
    const { signal } = this.#stop;
    const runnables = [...informersOf(this.caches), events, this.vm.controller, this.vmi.controller];
    this.#runs = runnables.map((one) => one.run(signal));
  }

  get isDead(): boolean {
    return this.#transport.isDead;
  }

  get isIdle(): boolean {
    return this.vm.controller.queue.length + this.vmi.controller.queue.length === 0;
  }

  /** Ends as a killed process does: nothing more is written. Resolves when its last promise has settled. */
  async kill(): Promise<void> {
    this.#transport.isDead = true;
    this.#stop.abort(new Error("killed"));
    this.statuses.stop();
    this.presence.close();
    this.agents.close();
    await Promise.allSettled(this.#runs);
  }
}

export class World {
  readonly clock = new FakeClock();
  readonly server = new FakeApiServer({
    resources: [
      VIRTUAL_MACHINES,
      VIRTUAL_MACHINE_INSTANCES,
      PODS,
      PERSISTENT_VOLUME_CLAIMS,
      EVENTS,
      NODES,
      POD_DISRUPTION_BUDGETS,
    ],
    clock: this.clock,
  });
  readonly user: Client = fakeClient(this.server, "user");
  readonly agent = new AgentDouble();
  readonly kubelet = new KubeletDouble(this.server, fakeClient(this.server, "kubelet"), this.agent);
  /** UIDs of all pods that ever were. */
  readonly podUids = new Set<string>();
  /** What the next operator makes launchers of. */
  launcherImage = "launcher:1";
  operator: OperatorProcess;

  constructor(options: { readonly dieAfterWrite?: number } = {}) {
    this.server.storage.get(PODS).listeners.add(({ object }) => this.podUids.add(object.metadata.uid));
    this.operator = this.#start(options.dieAfterWrite);
  }

  #start(dieAfterWrite = 0, isAgentAway = false): OperatorProcess {
    const operator = new OperatorProcess(this.server, this.clock, dieAfterWrite, this.launcherImage);
    if (!isAgentAway) this.agent.dial(operator.agents);
    return operator;
  }

  /** A new operator on what the dead one left; the agent may not have found it yet. */
  async restart({ isAgentAway = false } = {}): Promise<void> {
    await this.#killed();
    this.operator = this.#start(0, isAgentAway);
  }

  async close(): Promise<void> {
    await this.#killed();
    this.agent.close();
  }

  async #killed(): Promise<void> {
    let isOver = false;
    const killed = this.operator.kill().then(() => {
      isOver = true;
    });
    while (!isOver) {
      this.clock.advance(100);
      await turn();
    }
    await killed;
  }

  /** What operators have written, events apart: `POST pods`, `PUT virtualmachines/status` … */
  get writes(): string[] {
    return this.server.requests
      .filter((request) => request.headers["user-agent"] === USER_AGENT && isWrite(request))
      .map(({ method, path }) => `${method} ${resourceOf(path)}`);
  }

  vm(name: string): VirtualMachine | undefined {
    return this.server.get(VIRTUAL_MACHINES, `${NAMESPACE}/${name}`);
  }

  vmi(name: string): VirtualMachineInstance | undefined {
    return this.server.get(VIRTUAL_MACHINE_INSTANCES, `${NAMESPACE}/${name}`);
  }

  get pods(): Pod[] {
    return this.server.list(PODS);
  }

  /**
   * Lets kubelet, agent and operator work until the condition holds, an operator that died being replaced.
   * @param stepMs how fast the fake clock runs: milliseconds for each turn of the event loop
   */
  async until(what: string, condition: () => boolean, stepMs = 2): Promise<void> {
    for (let turns = 0; turns < 20_000; turns++) {
      if (condition()) return;
      if (this.operator.isDead) await this.restart();
      await this.kubelet.step();
      this.clock.advance(stepMs);
      await turn();
    }
    assert.fail(`not within the time of the test: ${what}`);
  }

  /** Until nobody has asked the API server anything for a while. */
  async quiet(stepMs = 0): Promise<void> {
    let [seen, calm] = [this.server.requests.length, 0];
    await this.until(
      "quiet",
      () => {
        calm = this.operator.isIdle && this.server.requests.length === seen ? calm + 1 : 0;
        seen = this.server.requests.length;
        return calm > 100;
      },
      stepMs,
    );
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function resourceOf(path: string): string {
  const [plural = "", , ...subresource] =
    path.replace(/\?.*/, "").split("/namespaces/")[1]?.split("/").slice(1) ?? [];
  return [plural, ...subresource].join("/");
}

export function machine(name: string, over: Partial<VirtualMachine["spec"]> = {}) {
  return {
    metadata: { name, namespace: NAMESPACE },
    spec: {
      runStrategy: "Always" as const,
      template: { spec: { domain: { devices: {}, memory: { guest: "128Mi" } } } },
      ...over,
    },
  };
}
