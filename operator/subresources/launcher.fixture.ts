/** One VMI, default/tiny, with its launcher on a node whose agent answers as the uplink's protocol says. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { LAUNCHER_CONTAINER } from "../../api/names.ts";
import { Http2Client } from "../../transport/client.ts";
import { type Routes, serveHttp2 } from "../../transport/server.ts";
import type { Caches } from "../caches.ts";
import { Agents } from "../uplink/agents.ts";

export interface Reachable {
  readonly caches: Caches;
  readonly agents: Agents;
}

let sockets = 0;

/** @param routes of the agent, the launcher's under `/v1/launchers/pod-1` */
export async function reachableLauncher(
  t: TestContext,
  routes: Routes,
  { phase = "Running", isDeleted = false }: { readonly phase?: string; readonly isDeleted?: boolean } = {},
): Promise<Reachable> {
  const owner = [
    { apiVersion: "kubevirt.io/v1", kind: "VirtualMachineInstance", name: "tiny", uid: "vmi-1" },
  ];
  const deleted = isDeleted ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {};
  const pod = {
    metadata: { name: "p", uid: "pod-1", ownerReferences: owner, ...deleted },
    spec: { nodeName: "node-1" },
    status: { phase, containerStatuses: [{ name: LAUNCHER_CONTAINER, state: { running: {} } }] },
  };
  const vmi = { metadata: { name: "tiny", uid: "vmi-1", ...deleted }, status: { phase } };
  const caches = {
    vmis: { get: (key: string) => (key === "default/tiny" ? vmi : undefined) },
    pods: { byIndex: () => [pod] },
  } as unknown as Caches;
  const agents = new Agents();
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
