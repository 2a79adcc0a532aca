/** One VMI, default/tiny, with its launcher on a node whose agent answers as the uplink's protocol says. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { LAUNCHER_CONTAINER } from "../../api/names.ts";
import { FakeClock } from "../../lib/fake-clock.ts";
import { Http2Client } from "../../transport/client.ts";
import { type Routes, serveHttp2 } from "../../transport/server.ts";
import type { Caches } from "../caches.ts";
import { Agents } from "../uplink/agents.ts";

export interface Reachable {
  readonly caches: Caches;
  readonly agents: Agents;
}

let sockets = 0;

export interface MachineState {
  /** Of the VMI and its pod. */
  readonly phase?: string;
  readonly isDeleted?: boolean;
  readonly isPaused?: boolean;
  /** The pod is bound to no node yet. */
  readonly isUnplaced?: boolean;
  readonly podIP?: string;
  /** Of the virtual machine that the VMI belongs to; there is none unless told. */
  readonly vmStatus?: string;
  /** The VMI is not there. */
  readonly isAbsent?: boolean;
  readonly spec?: object;
}

const ref = (kind: string, uid: string) => [
  { apiVersion: "kubevirt.io/v1", kind, name: "tiny", uid, controller: true },
];

export function cachesOf(state: MachineState): Caches {
  const { phase = "Running", isDeleted = false, isPaused = false, isUnplaced = false } = state;
  const deleted = isDeleted ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {};
  const pod = {
    metadata: {
      name: "p",
      uid: "pod-1",
      ownerReferences: ref("VirtualMachineInstance", "vmi-1"),
      ...deleted,
    },
    spec: isUnplaced ? {} : { nodeName: "node-1" },
    status: {
      phase,
      containerStatuses: [{ name: LAUNCHER_CONTAINER, state: { running: {} } }],
      ...(state.podIP !== undefined && { podIP: state.podIP }),
    },
  };
  const place = { namespace: "default", name: "tiny" };
  const vmi = {
    metadata: {
      ...place,
      uid: "vmi-1",
      ...deleted,
      ...(state.vmStatus !== undefined && { ownerReferences: ref("VirtualMachine", "vm-1") }),
    },
    spec: state.spec ?? { domain: { devices: {} } },
    status: { phase, conditions: isPaused ? [{ type: "Paused", status: "True" }] : [] },
  };
  const vm = { metadata: { ...place, uid: "vm-1" }, status: { printableStatus: state.vmStatus } };
  const named = (object: object | undefined) => ({
    get: (key: string) => (key === "default/tiny" ? object : undefined),
  });
  return {
    vms: named(state.vmStatus === undefined ? undefined : vm),
    vmis: named(state.isAbsent === true ? undefined : vmi),
    pods: { byIndex: () => (state.isAbsent === true ? [] : [pod]) },
  } as unknown as Caches;
}

/** @param routes of the agent, the launcher's under `/v1/launchers/pod-1` */
export async function reachableLauncher(
  t: TestContext,
  routes: Routes,
  state: MachineState = {},
): Promise<Reachable> {
  const caches = cachesOf(state);
  const clock = new FakeClock();
  const agents = new Agents(clock);
  // The replica has been there for long: who isn't connected is not waited for.
  clock.advance(60_000);
  const listener = createServer().listen(join(tmpdir(), `launcher-${process.pid}-${sockets++}.sock`));
  await once(listener, "listening");
  const dialled = connect(listener.address() as string);
  const [operatorSide] = (await once(listener, "connection")) as [Socket];
  listener.close();
  const served = serveHttp2(dialled, routes);
  const agent = { nodeName: "node-1", connection: "streams", expiresAt: Number.MAX_SAFE_INTEGER } as const;
  agents.add({ agent, client: new Http2Client(operatorSide) });
  t.after(() => {
    agents.close();
    served.destroy();
  });
  return { caches, agents };
}
