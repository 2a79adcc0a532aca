/** The real controllers against an API server in memory: what they write, and what survives which crash. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { DomainEnd, LauncherStatus } from "../api/launcher-protocol.ts";
import type { KubeObject } from "../kube/objects.ts";
import { mergePatch } from "../kube/request.ts";
import { EVENTS, PODS } from "../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "./kinds.ts";
import { machine, NAMESPACE, World } from "./testing/world.ts";
import { conditionOf, isTrue } from "./vmi/conditions.ts";

const CREATE_TO_RUNNING = [
  "PATCH virtualmachines",
  "POST virtualmachineinstances",
  "PUT virtualmachines/status",
  "POST pods",
  "PUT virtualmachineinstances/status",
  "PUT virtualmachineinstances/status",
  "PUT virtualmachines/status",
];

function world(t: TestContext, options: { readonly dieAfterWrite?: number } = {}): World {
  const it = new World(options);
  t.after(() => it.close());
  return it;
}

const create = (w: World, name: string) => w.user.resource(VIRTUAL_MACHINES).create(machine(name));
const vms = (w: World) => w.user.resource(VIRTUAL_MACHINES).namespace(NAMESPACE);
const vmis = (w: World) => w.user.resource(VIRTUAL_MACHINE_INSTANCES).namespace(NAMESPACE);
const isRunning = (w: World, name: string) =>
  w.vm(name)?.status?.printableStatus === "Running" && w.vm(name)?.status?.ready === true;
const isGone = (w: World) =>
  w.pods.length + w.server.list(VIRTUAL_MACHINES).length + w.server.list(VIRTUAL_MACHINE_INSTANCES).length ===
  0;

async function running(w: World, name = "tiny"): Promise<void> {
  await create(w, name);
  await w.until(`${name} Running`, () => isRunning(w, name));
  await w.quiet();
}

function ending(reason: DomainEnd["reason"]): DomainEnd {
  return { reason, acpiRequested: false, code: `Guest-${reason}`, message: `the guest: ${reason}` };
}

describe("a VM's life", () => {
  it("from its creation to Running takes these seven writes, and no other", async (t) => {
    const w = world(t);
    await running(w);
    assert.deepEqual([...w.writes].sort(), [...CREATE_TO_RUNNING].sort());
    assert.equal(w.vmi("tiny")?.status?.nodeName, "node-1");
    assert.deepEqual(
      w.vmi("tiny")?.status?.phaseTransitionTimestamps?.map(({ phase }) => phase),
      ["Pending", "Scheduling", "Running"],
    );
  });

  it("has one write to tell of an edit of its run strategy alone", async (t) => {
    const w = world(t);
    await running(w);
    const before = w.writes.length;
    await vms(w).patch("tiny", mergePatch({ spec: { runStrategy: "RerunOnFailure" } }));
    await w.quiet();
    assert.deepEqual(w.writes.slice(before), ["PUT virtualmachines/status"]);
    const { metadata, status } = w.vm("tiny") ?? {};
    assert.deepEqual([status?.observedGeneration, status?.desiredGeneration], [2, 2]);
    assert.equal(metadata?.generation, 2);
  });

  it("costs no write when everything is reconciled anew, told anew, or listed anew", async (t) => {
    const w = world(t);
    await running(w);
    const before = w.writes.length;
    for (const { controller } of [w.operator.vm, w.operator.vmi]) controller.enqueue(`${NAMESPACE}/tiny`);
    await w.quiet();
    w.agent.tell([...w.podUids][0] ?? "", "running");
    await w.quiet();
    w.server.compact();
    for (const watch of w.server.watches) watch.break();
    await w.quiet(2);
    await w.restart();
    await w.quiet(2);
    assert.deepEqual(w.writes.slice(before), []);
  });

  it("leaves nothing after its deletion, neither in the API nor in the operator's memory", async (t) => {
    const w = world(t);
    await running(w);
    await vms(w).delete("tiny");
    await w.until("all gone", () => isGone(w));
    await w.quiet();
    assert.equal(w.operator.statuses.size, 0);
    // What an agent tells late, of a pod that is gone, is not kept.
    w.agent.tell([...w.podUids][0] ?? "", "stopped");
    await w.quiet();
    assert.equal(w.operator.statuses.size, 0);
    assert.equal(w.podUids.size, 1);
  });

  it("ends when the guest is deleted before any node fits it", async (t) => {
    const w = world(t);
    w.kubelet.script = { unschedulable: true };
    await create(w, "tiny");
    await w.until("unschedulable", () => w.vm("tiny")?.status?.printableStatus === "ErrorUnschedulable");
    await vms(w).delete("tiny");
    await w.until("all gone", () => isGone(w));
  });

  it("goes on as usual when the agent is quicker than the pod's own status", async (t) => {
    const w = world(t);
    w.kubelet.script = { agentFirst: true };
    await running(w);
    assert.deepEqual([...w.writes].sort(), [...CREATE_TO_RUNNING].sort());
  });

  it("shares nothing with another's: two side by side take twice the writes", async (t) => {
    const w = world(t);
    await Promise.all([create(w, "one"), create(w, "two")]);
    await w.until("both Running", () => isRunning(w, "one") && isRunning(w, "two"));
    await w.quiet();
    assert.equal(w.writes.length, 2 * CREATE_TO_RUNNING.length);
    await vms(w).delete("one");
    await w.until("one gone", () => w.vm("one") === undefined && w.pods.length === 1);
    await w.quiet();
    assert(isRunning(w, "two"));
    assert.equal(w.operator.statuses.size, 1);
  });

  it("records what happened as events", async (t) => {
    const w = world(t);
    await running(w);
    await w.until("events", () => w.server.list(EVENTS).length >= 4);
    assert.deepEqual(
      w.server
        .list(EVENTS)
        .map(({ reason }) => reason)
        .sort(),
      // Each told of the VM and of its VMI.
      ["Started", "Started", "SuccessfulCreate", "SuccessfulCreate"],
    );
  });
});

describe("a guest's agent", () => {
  it("costs one write when it connects, one for each change, and none while nothing changes", async (t) => {
    const w = world(t);
    await running(w);
    const podUid = [...w.podUids][0] ?? "";
    const guestAgent = { os: { id: "debian" }, interfaces: [], frozen: false };
    const writesOf = async (told: Partial<LauncherStatus>) => {
      const before = w.writes.length;
      w.agent.tell(podUid, "running", told);
      await w.quiet();
      return w.writes.slice(before);
    };
    assert.deepEqual(await writesOf({ guestAgent }), ["PUT virtualmachineinstances/status"]);
    assert.equal(w.vmi("tiny")?.status?.guestOSInfo?.id, "debian");
    assert(isTrue(w.vmi("tiny")?.status?.conditions, "AgentConnected"));
    assert.deepEqual(await writesOf({ guestAgent: structuredClone(guestAgent) }), []);
    const interfaces = [{ interfaceName: "docker0", ipAddresses: ["172.17.0.1"] }];
    assert.deepEqual(await writesOf({ guestAgent: { ...guestAgent, interfaces } }), [
      "PUT virtualmachineinstances/status",
    ]);
    assert.deepEqual(await writesOf({ guestAgent: { ...guestAgent, frozen: true } }), [
      "PUT virtualmachineinstances/status",
    ]);
    assert.equal(w.vmi("tiny")?.status?.fsFreezeStatus, "frozen");
    assert.deepEqual(await writesOf({}), ["PUT virtualmachineinstances/status"]);
    const status = w.vmi("tiny")?.status;
    assert.equal(isTrue(status?.conditions, "AgentConnected"), false);
    const { guestOSInfo, interfaces: left, fsFreezeStatus } = status ?? {};
    assert.deepEqual([guestOSInfo?.id, left?.length, fsFreezeStatus], ["debian", 1, undefined]);
  });
});

describe("a new operator", () => {
  it("takes back nothing of a guest that it isn't told of yet", async (t) => {
    const w = world(t);
    await running(w);
    w.agent.tell([...w.podUids][0] ?? "", "running", {
      paused: { reason: "user" },
      guestAgent: { os: { id: "debian" }, interfaces: [], frozen: true, unsupported: "it lacks much" },
      accessCredentials: { synchronized: true, message: "" },
    });
    await w.quiet();
    const before = w.writes.length;
    const { conditions } = w.vmi("tiny")?.status ?? {};
    assert.deepEqual(
      conditions?.map(({ type }) => type),
      [
        "Ready",
        "Paused",
        "AgentConnected",
        "AgentVersionNotSupported",
        "AccessCredentialsSynchronized",
        "LiveMigratable",
      ],
    );
    await w.restart({ isAgentAway: true });
    await w.quiet(2);
    assert.deepEqual(w.writes.slice(before), []);
  });
});

describe("a VM whose VMI's name is taken", () => {
  it("leaves the other's VMI alone, says so, and takes over when it has gone", async (t) => {
    const w = world(t);
    const { spec } = machine("tiny").spec.template;
    await w.user
      .resource(VIRTUAL_MACHINE_INSTANCES)
      .create({ metadata: { name: "tiny", namespace: NAMESPACE }, spec });
    await w.until("the other's runs", () => w.vmi("tiny")?.status?.phase === "Running");
    const other = w.vmi("tiny")?.metadata.uid;
    await create(w, "tiny");
    await w.quiet();
    const failure = w.vm("tiny")?.status?.conditions?.find(({ type }) => type === "Failure");
    assert.equal(failure?.reason, "InstanceNotOwned");
    assert.equal(w.vmi("tiny")?.metadata.uid, other);
    await vmis(w).delete("tiny");
    await w.until("its own runs", () => isRunning(w, "tiny"));
    assert.notEqual(w.vmi("tiny")?.metadata.uid, other);
  });
});

describe("a guest that fails", () => {
  it("is started again by back-off, and not before its time", async (t) => {
    const w = world(t);
    await running(w);
    w.kubelet.end([...w.podUids][0] ?? "", ending("crashed"));
    await w.until(
      "backing off",
      () => w.vm("tiny")?.status?.printableStatus === "CrashLoopBackOff" && w.pods.length === 0,
      0,
    );
    await w.quiet();
    assert.equal(w.podUids.size, 1);
    const retryAt = Date.parse(w.vm("tiny")?.status?.startFailure?.retryAfterTimestamp ?? "");
    const waitMs = retryAt - w.clock.now();
    assert(waitMs >= 9_000 && waitMs <= 15_000, `${waitMs} ms`);

    w.clock.advance(waitMs - 1);
    await w.quiet();
    assert.equal(w.podUids.size, 1, "started before its time");
    w.clock.advance(2);
    await w.until("Running again", () => isRunning(w, "tiny"), 0);
    assert.equal(w.podUids.size, 2);
    assert.equal(w.vm("tiny")?.status?.startFailure?.consecutiveFailCount, 1);

    w.clock.advance(61_000);
    await w.until("forgiven", () => w.vm("tiny")?.status?.startFailure === undefined, 0);
  });

  it("is started at once when it powered off by itself", async (t) => {
    const w = world(t);
    await running(w);
    w.kubelet.end([...w.podUids][0] ?? "", ending("shutdown"));
    await w.until("a second pod runs", () => w.podUids.size === 2 && isRunning(w, "tiny"), 0);
    assert.equal(w.vm("tiny")?.status?.startFailure, undefined);
  });
});

describe("answers that go wrong", () => {
  it("a pod whose creation lost its reply is found again, not made twice", async (t) => {
    const w = world(t);
    let lost = 0;
    const handle = w.server.handle.bind(w.server);
    w.server.intercept = async (request) => {
      if (request.method !== "POST" || !request.path.endsWith("/pods") || lost > 0) return undefined;
      lost += 1;
      await handle(request);
      return { statusCode: 504, body: { kind: "Status", reason: "Timeout", message: "lost", code: 504 } };
    };
    await running(w);
    assert.equal(lost, 1);
    assert.equal(w.podUids.size, 1);
  });

  it("a VMI deleted after its pod's creation lost its reply goes after the pod, not before", async (t) => {
    const w = world(t);
    const handle = w.server.handle.bind(w.server);
    w.server.intercept = async (request) => {
      if (request.method !== "POST" || !request.path.endsWith("/pods")) return undefined;
      w.server.intercept = undefined;
      for (const watch of w.server.watches) if (watch.collection.descriptor === PODS) watch.mute();
      await handle(request);
      return { statusCode: 504, body: { kind: "Status", reason: "Timeout", message: "lost", code: 504 } };
    };
    await create(w, "tiny");
    await w.until("the pod is made", () => w.podUids.size === 1, 0);
    const vmiGone: number[] = [];
    w.server.storage.get(VIRTUAL_MACHINE_INSTANCES).listeners.add(({ type }) => {
      if (type === "DELETED") vmiGone.push(w.pods.length);
    });
    await vms(w).delete("tiny");
    for (let turns = 0; turns < 200; turns++) await w.until("turn", () => turns >= 0);
    for (const watch of w.server.watches) watch.break();
    await w.until("all gone", () => isGone(w));
    assert.deepEqual(vmiGone, [0]);
  });

  it("a conflict on a status is tried again on what is there now", async (t) => {
    const w = world(t);
    let conflicts = 0;
    w.server.intercept = (request) => {
      if (request.method !== "PUT" || conflicts >= 4) return undefined;
      conflicts += 1;
      return { statusCode: 409, body: { kind: "Status", reason: "Conflict", message: "changed", code: 409 } };
    };
    await running(w);
    assert.equal(conflicts, 4);
    assert.equal(w.podUids.size, 1);
  });

  it("a pod that is forbidden is told on the VMI, and made once it is allowed", async (t) => {
    const w = world(t);
    w.server.intercept = (request) =>
      request.method === "POST" && request.path.endsWith("/pods")
        ? {
            statusCode: 403,
            body: { kind: "Status", reason: "Forbidden", message: "exceeded quota", code: 403 },
          }
        : undefined;
    await create(w, "tiny");
    const told = () => w.vmi("tiny")?.status?.conditions?.find(({ type }) => type === "Synchronized");
    await w.until("told", () => told()?.reason === "FailedCreate");
    assert.match(told()?.message ?? "", /exceeded quota/);
    const { length } = w.writes.filter((write) => write !== "POST pods");
    await w.until("tried again", () => w.writes.filter((write) => write === "POST pods").length >= 4);
    assert.equal(w.writes.filter((write) => write !== "POST pods").length, length, "tells what it has told");
    w.server.intercept = undefined;
    await w.until("Running", () => isRunning(w, "tiny"));
  });

  /** Refuses the first such request. @returns how many were refused */
  function refuseFirst(
    w: World,
    refusal: { method: string; path: string; statusCode: number; reason: string },
  ): () => number {
    let refused = 0;
    w.server.intercept = ({ method, path }) => {
      if (method !== refusal.method || !path.includes(refusal.path) || refused > 0) return undefined;
      refused += 1;
      const { statusCode, reason } = refusal;
      return { statusCode, body: { kind: "Status", reason, message: "changed", code: statusCode } };
    };
    return () => refused;
  }

  const WEBHOOK = 'Internal error occurred: failed calling webhook "x.example.org": no endpoints available';

  /** How the API server answers to the creation of these. */
  function answer(w: World, plural: string, code: number, message: string): void {
    w.server.intercept = ({ method, path }) =>
      method === "POST" && path.endsWith(`/${plural}`)
        ? { statusCode: code, body: { kind: "Status", message, code } }
        : undefined;
  }

  for (const [code, message] of [
    [400, "admission webhook denied the request: no"],
    [403, "exceeded quota: count/virtualmachineinstances.kubevirt.io"],
    [500, WEBHOOK],
  ] as const) {
    it(`an instance refused with ${code} is told on its VM, once, and made a minute after it is allowed`, async (t) => {
      const w = world(t);
      answer(w, "virtualmachineinstances", code, message);
      const isTry = (write: string) => write === "POST virtualmachineinstances";
      const failure = () => conditionOf(w.vm("tiny")?.status?.conditions, "Failure");
      await create(w, "tiny");
      await w.until("told", () => failure()?.reason === "FailedCreate");
      assert(failure()?.message?.includes(message));
      const { created, printableStatus } = w.vm("tiny")?.status ?? {};
      assert.deepEqual([created, printableStatus], [false, "Starting"]);
      const { length } = w.writes.filter((write) => !isTry(write));
      const hourLater = w.clock.now() + 3_600_000;
      await w.until("an hour later", () => w.clock.now() > hourLater, 500);
      assert(w.writes.filter(isTry).length > 60, "it is tried again");
      assert.equal(w.writes.filter((write) => !isTry(write)).length, length, "tells what it has told");
      const told = w.server.list(EVENTS).filter(({ reason }) => reason === "FailedCreate");
      assert.deepEqual(
        told.map(({ involvedObject, count = 1 }) => [involvedObject.kind, count]),
        [["VirtualMachine", 1]],
      );
      w.server.intercept = undefined;
      const allowedAt = w.clock.now();
      await w.until("Running", () => isRunning(w, "tiny"), 100);
      assert(w.clock.now() - allowedAt < 70_000);
      assert.equal(failure(), undefined);
    });
  }

  for (const [code, message] of [
    [400, "admission webhook denied the request: no"],
    [500, WEBHOOK],
  ] as const) {
    it(`a pod refused with ${code} is told on the VMI, and made once it is allowed`, async (t) => {
      const w = world(t);
      answer(w, "pods", code, message);
      await create(w, "tiny");
      const told = () => conditionOf(w.vm("tiny")?.status?.conditions, "Synchronized");
      await w.until("told", () => told()?.reason === "FailedCreate");
      assert(told()?.message?.includes(message));
      w.server.intercept = undefined;
      await w.until("Running", () => isRunning(w, "tiny"));
      assert.equal(told(), undefined);
    });
  }

  for (const plural of ["virtualmachineinstances", "pods"]) {
    it(`${plural} that etcd keeps waiting are made later, and nothing is told of it`, async (t) => {
      const w = world(t);
      let failed = 0;
      w.server.intercept = ({ method, path }) => {
        if (method !== "POST" || !path.endsWith(`/${plural}`) || failed === 10) return undefined;
        failed += 1;
        const message = "Internal error occurred: etcdserver: request timed out";
        return { statusCode: 500, body: { kind: "Status", reason: "InternalError", message, code: 500 } };
      };
      await running(w);
      assert.equal(failed, 10);
      const isTry = (write: string) => write === `POST ${plural}`;
      assert.deepEqual(
        w.writes.filter((write) => !isTry(write)).sort(),
        CREATE_TO_RUNNING.filter((write) => !isTry(write)).sort(),
      );
    });
  }

  it("a VM in a namespace that is going away isn't tried over and over", async (t) => {
    const w = world(t);
    w.server.intercept = ({ method, path }) => {
      if (method !== "POST" || !path.endsWith("/virtualmachineinstances")) return undefined;
      const details = {
        causes: [{ reason: "NamespaceTerminating", message: "namespace default is being terminated" }],
      };
      return {
        statusCode: 403,
        body: { kind: "Status", reason: "Forbidden", message: "m", code: 403, details },
      };
    };
    await create(w, "tiny");
    await w.quiet(2);
    assert.equal(w.writes.filter((write) => write === "POST virtualmachineinstances").length <= 2, true);
    assert.deepEqual(
      w.server.list(EVENTS).filter(({ reason }) => reason === "FailedCreate"),
      [],
    );
  });

  it("a pod whose finalizers somebody else changed meanwhile is let go at the next try", async (t) => {
    const w = world(t);
    await running(w);
    const refused = refuseFirst(w, { method: "PATCH", path: "/pods/", statusCode: 422, reason: "Invalid" });
    await vms(w).delete("tiny");
    await w.until("all gone", () => isGone(w));
    assert.equal(refused(), 1);
  });

  for (const [what, refusal] of [
    ["its pod's release", { method: "PATCH", path: "/pods/", statusCode: 422, reason: "Invalid" }],
    ["its status", { method: "PUT", path: "/tiny/status", statusCode: 409, reason: "Conflict" }],
  ] as const) {
    it(`a guest's end is told once where ${what} is written at the second try`, async (t) => {
      const w = world(t);
      await running(w);
      // Without the agent the pod tells, so that one reconcile writes down how the guest ended and lets the pod go.
      w.agent.close();
      await w.quiet();
      const refused = refuseFirst(w, refusal);
      w.kubelet.end([...w.podUids][0] ?? "", ending("crashed"));
      await w.until("it starts anew", () => w.podUids.size === 2, 100);
      await w.quiet();
      assert.equal(refused(), 1);
      const stopped = w.server.list(EVENTS).filter(({ reason }) => reason === "Stopped");
      assert.deepEqual(
        stopped.map(({ involvedObject }) => involvedObject.kind),
        ["VirtualMachineInstance"],
      );
    });
  }

  it("an instance's creation is told though the VM's status is written at the second try", async (t) => {
    const w = world(t);
    const refused = refuseFirst(w, {
      method: "PUT",
      path: "/virtualmachines/",
      statusCode: 409,
      reason: "Conflict",
    });
    await running(w);
    await w.quiet();
    assert.equal(refused(), 1);
    const created = w.server
      .list(EVENTS)
      .filter(
        ({ reason, involvedObject }) =>
          reason === "SuccessfulCreate" && involvedObject.kind === "VirtualMachine",
      );
    assert.equal(created.length, 1);
  });

  it("a pod's deletion is told though the status beside it is written at the second try", async (t) => {
    const w = world(t);
    await running(w);
    const refused = refuseFirst(w, {
      method: "PUT",
      path: "/virtualmachineinstances/",
      statusCode: 409,
      reason: "Conflict",
    });
    await vms(w).delete("tiny");
    await w.until("all gone", () => isGone(w));
    await w.quiet();
    assert.equal(refused(), 1);
    assert.equal(w.server.list(EVENTS).filter(({ reason }) => reason === "SuccessfulDelete").length, 1);
  });

  it("an edit of the template while the guest runs changes nothing but says RestartRequired", async (t) => {
    const w = world(t);
    await running(w);
    const before = w.writes.length;
    await vms(w).patch(
      "tiny",
      mergePatch({ spec: { template: { spec: { domain: { memory: { guest: "256Mi" } } } } } }),
    );
    await w.quiet();
    assert.deepEqual(w.writes.slice(before), ["PUT virtualmachines/status"]);
    assert(
      w
        .vm("tiny")
        ?.status?.conditions?.some(({ type, status }) => type === "RestartRequired" && status === "True"),
    );
    assert.equal(w.vmi("tiny")?.spec.domain.memory?.guest, "128Mi");
  });
});

/** What an object says, whatever it is called and whenever it was made. */
function content({ metadata, ...rest }: KubeObject): unknown {
  const { finalizers, labels } = metadata;
  const text = JSON.stringify({ finalizers, labels, ...rest }, (key, value: unknown) =>
    /timestamp|time$/i.test(key) || key === "uid" || key === "created-by" ? undefined : value,
  );
  return JSON.parse(
    text
      .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uid>")
      .replace(/virt-launcher-tiny-[0-9a-f]{5}/g, "<pod>"),
  );
}

async function live(w: World): Promise<unknown> {
  await running(w);
  const alive = [
    ...w.server.list(VIRTUAL_MACHINES),
    ...w.server.list(VIRTUAL_MACHINE_INSTANCES),
    ...w.pods,
  ].map(content);
  await vms(w).delete("tiny");
  await w.until("all gone", () => isGone(w));
  await w.quiet();
  return alive;
}

const unharmed = new World();
const wanted = await live(unharmed);
const { writes } = unharmed;
await unharmed.close();

describe("an operator whose caches are behind", () => {
  /** Refuses one kind's creation until the watches are mute; what happens then, the operator doesn't see. */
  async function blindedBefore(w: World, collection: string): Promise<void> {
    let refused = 0;
    w.server.intercept = (request) => {
      if (request.method !== "POST" || !request.path.endsWith(collection)) return undefined;
      refused += 1;
      return {
        statusCode: 500,
        body: { kind: "Status", reason: "InternalError", message: "not now", code: 500 },
      };
    };
    await create(w, "tiny");
    await w.until("a creation is refused", () => refused > 0);
    for (const watch of w.server.watches) watch.mute();
  }

  async function laterThan(w: World, ms: number): Promise<void> {
    const due = w.clock.now() + ms;
    w.server.intercept = undefined;
    await w.until("its back-off is over", () => w.clock.now() > due, 100);
  }

  it("makes no pod for a VMI that has gone meanwhile", async (t) => {
    const w = world(t);
    await blindedBefore(w, "/pods");
    await vmis(w).patch("tiny", mergePatch({ metadata: { finalizers: [] } }));
    await vmis(w).delete("tiny");
    await laterThan(w, 120_000);
    assert.equal(w.podUids.size, 0);
  });

  it("stops no VM that was halted and started again meanwhile", async (t) => {
    const w = world(t);
    await running(w);
    const uid = w.vmi("tiny")?.metadata.uid;
    let refused = 0;
    w.server.intercept = ({ method }) => {
      if (method !== "DELETE") return undefined;
      refused += 1;
      return {
        statusCode: 500,
        body: { kind: "Status", reason: "InternalError", message: "not now", code: 500 },
      };
    };
    await vms(w).patch("tiny", mergePatch({ spec: { runStrategy: "Halted" } }));
    await w.until("a deletion is refused", () => refused > 0);
    for (const watch of w.server.watches) if (watch.collection.descriptor === VIRTUAL_MACHINES) watch.mute();
    await vms(w).patch("tiny", mergePatch({ spec: { runStrategy: "Always" } }));
    await laterThan(w, 120_000);
    const { metadata } = w.vmi("tiny") ?? {};
    assert.deepEqual([metadata?.uid, metadata?.deletionTimestamp], [uid, undefined]);
  });

  it("starts no VM that was halted meanwhile", async (t) => {
    const w = world(t);
    await blindedBefore(w, "/virtualmachineinstances");
    await vms(w).patch("tiny", mergePatch({ spec: { runStrategy: "Halted" } }));
    await laterThan(w, 120_000);
    assert.equal(w.vmi("tiny"), undefined);
  });
});

describe("an operator killed after a write, its answer unread,", () => {
  const total = writes.length;

  for (let write = 1; write <= total; write++) {
    it(`number ${write} of ${total} (${writes[write - 1]}) is replaced by one that ends the same way`, async (t) => {
      const w = world(t, { dieAfterWrite: write });
      assert.deepEqual(await live(w), wanted);
      assert.equal(w.podUids.size, 1);
    });
  }
});
