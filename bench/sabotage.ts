/** Harm for control runs: each makes a figure worse by means that its meter has to see. */
import type { Client } from "../kube/client.ts";
import { PODS, type Pod } from "../kube/resources.ts";
import { until } from "../test/harness/cluster.ts";
import { followLog } from "../test/harness/log.ts";
import { podProcesses } from "./pod-processes.ts";

const HOLD_TIMEOUT_MS = 30_000;

/** Stops the processes of a pod that run a program, and lets them go on after `durationMs`. */
export function freeze(pod: Pod, program: RegExp, durationMs: number): void {
  const pids = podProcesses(pod.metadata.uid)
    .filter((one) => program.test(one.program))
    .map(({ pid }) => pid);
  if (pids.length === 0) throw new Error(`pod ${pod.metadata.name} has no process like ${program} to stop`);
  const resume = () => {
    for (const pid of pids) signal(pid, "SIGCONT");
  };
  for (const pid of pids) signal(pid, "SIGSTOP");
  process.once("exit", resume);
  setTimeout(() => {
    process.removeListener("exit", resume);
    resume();
  }, durationMs);
}

/** Puts a second container into a running pod that holds `mebibytes` of memory until it is killed; returns the pod. */
export async function addBallast(client: Client, pod: Pod, image: string, mebibytes: number): Promise<Pod> {
  const script = `globalThis.ballast = Buffer.alloc(${mebibytes} << 20, 1); console.log("held"); setInterval(() => {}, 1e6);`;
  const container = {
    name: "ballast",
    image,
    imagePullPolicy: "IfNotPresent",
    command: ["node", "--eval", script],
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
  };
  const { name, namespace } = pod.metadata;
  await client
    .resource(PODS)
    .namespace(namespace)
    .patch(
      name,
      { type: "strategic", body: { spec: { ephemeralContainers: [container] } } },
      { subresource: "ephemeralcontainers" },
    );
  const ballasted = await until(client, PODS, {
    ...(namespace !== undefined && { namespace }),
    name,
    what: "the ballast's container running",
    timeoutMs: HOLD_TIMEOUT_MS,
    when: (object) => isBallastRunning(object),
  });
  await untilHeld(client, { namespace: namespace ?? "", name, container: container.name });
  return ballasted ?? pod;
}

async function untilHeld(
  client: Client,
  pod: { readonly namespace: string; readonly name: string; readonly container: string },
): Promise<void> {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(HOLD_TIMEOUT_MS)]);
  for await (const { text } of followLog(client, pod, signal)) if (text === "held") break;
  stop.abort();
}

function isBallastRunning(pod: Pod | undefined): boolean {
  const status = pod?.status as
    | { ephemeralContainerStatuses?: { state?: { running?: object } }[] }
    | undefined;
  return status?.ephemeralContainerStatuses?.some(({ state }) => state?.running !== undefined) === true;
}

function signal(pid: number, name: "SIGSTOP" | "SIGCONT"): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended meanwhile.
  }
}
