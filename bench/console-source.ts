/** Bytes without end: a server in a container of its own, in a plain pod or beside a guest's launcher. */
import { connect } from "node:net";
import { LAUNCHER_PATHS } from "../api/names.ts";
import type { Client } from "../kube/client.ts";
import { PODS, type Pod } from "../kube/resources.ts";
import { until } from "../test/harness/cluster.ts";
import { followLog } from "../test/harness/log.ts";

export const SOURCE_PORT = 5001;
const START_TIMEOUT_MS = 60_000;
/** qemu's socket, in its folder of the launcher's. */
const VNC_SOCKET = `${LAUNCHER_PATHS.runtime}/qemu/vnc.sock`;

/** Whoever connects is sent zeros as fast as they are taken. */
const SERVE = `
  const { createServer } = require("node:net");
  const zeros = Buffer.alloc(65536);
  const serve = (where) => createServer((socket) => {
    socket.on("error", () => {}).resume();
    const more = () => { while (socket.writable && socket.write(zeros)); };
    socket.on("drain", more);
    more();
  }).listen(where, () => console.log("serving"));
`;

const RESTRICTED = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  runAsNonRoot: true,
  runAsUser: 107,
  seccompProfile: { type: "RuntimeDefault" },
};

const container = (name: string, image: string, script: string) => ({
  name,
  image,
  imagePullPolicy: "IfNotPresent",
  command: ["node", "--eval", script],
  securityContext: RESTRICTED,
});

/** A plain pod that serves at SOURCE_PORT. */
export async function plainSource(client: Client, namespace: string, image: string): Promise<string> {
  const name = "plain";
  const containers = [container(name, image, `${SERVE} serve(${SOURCE_PORT});`)];
  const spec = { containers, automountServiceAccountToken: false, enableServiceLinks: false };
  await client
    .resource(PODS)
    .namespace(namespace)
    .create({ metadata: { name }, spec } as Parameters<ReturnType<typeof podsOf>["create"]>[0]);
  await until(client, PODS, {
    namespace,
    name,
    what: "phase Running",
    timeoutMs: START_TIMEOUT_MS,
    when: (pod) => pod?.status?.phase === "Running",
  });
  await untilServing(client, { namespace, name, container: name }, 1);
  return name;
}

/**
 * Serves at SOURCE_PORT of a launcher's pod, and in place of qemu's VNC server: what the guest and its devices can't
 * give as fast is measured without them, over the way that theirs goes.
 */
export async function sourceBeside(client: Client, pod: Pod, image: string): Promise<void> {
  const script = `${SERVE}
    serve(${SOURCE_PORT});
    const { renameSync } = require("node:fs");
    renameSync("${VNC_SOCKET}", "${VNC_SOCKET}.qemu");
    serve("${VNC_SOCKET}");`;
  const source = {
    ...container("source", image, script),
    volumeMounts: [{ name: "runtime", mountPath: LAUNCHER_PATHS.runtime }],
  };
  const { name, namespace = "" } = pod.metadata;
  await podsOf(client, namespace).patch(
    name,
    { type: "strategic", body: { spec: { ephemeralContainers: [source] } } },
    { subresource: "ephemeralcontainers" },
  );
  await until(client, PODS, {
    namespace,
    name,
    what: "the source running",
    timeoutMs: START_TIMEOUT_MS,
    when: (seen) => isRunning(seen),
  });
  await untilServing(client, { namespace, name, container: source.name }, 2);
}

async function untilServing(
  client: Client,
  pod: { readonly namespace: string; readonly name: string; readonly container: string },
  servers: number,
): Promise<void> {
  let serving = 0;
  for await (const { text } of followLog(client, pod, AbortSignal.timeout(START_TIMEOUT_MS))) {
    if (text === "serving") serving += 1;
    if (serving === servers) return;
  }
  throw new Error(`the source beside ${pod.namespace}/${pod.name} serves ${serving} of ${servers} sockets`);
}

const podsOf = (client: Client, namespace: string) => client.resource(PODS).namespace(namespace);

function isRunning(pod: Pod | undefined): boolean {
  const status = pod?.status as
    | { ephemeralContainerStatuses?: { state?: { running?: object } }[] }
    | undefined;
  return status?.ephemeralContainerStatuses?.some(({ state }) => state?.running !== undefined) === true;
}

/** Bytes a second over one TCP connection to a local port. */
export async function speedOf(port: number, durationMs: number): Promise<number> {
  const socket = connect(port, "127.0.0.1");
  return measured(durationMs, (count) => {
    socket.on("data", (chunk: Buffer) => count(chunk.length));
    socket.on("error", () => {});
    return () => socket.destroy();
  });
}

/** Bytes a second from the first that comes, for `durationMs`. @throws Error when none comes in ten times that */
export function measured(
  durationMs: number,
  begin: (count: (bytes: number) => void) => () => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    let bytes = 0;
    let firstAt: number | undefined;
    const end = begin((more) => {
      if (firstAt === undefined) {
        firstAt = performance.now();
        setTimeout(settle, durationMs);
      } else bytes += more;
    });
    const silent = setTimeout(() => {
      if (firstAt !== undefined) return;
      end();
      reject(new Error(`not one byte came in ${10 * durationMs} ms`));
    }, 10 * durationMs);
    function settle(): void {
      clearTimeout(silent);
      end();
      resolve((bytes * 1000) / (performance.now() - (firstAt ?? 0)));
    }
  });
}
