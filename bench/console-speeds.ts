/** What port-forward and the screen's way carry, beside kubectl port-forward to a plain pod. */
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import type { Client } from "../kube/client.ts";
import type { Pod } from "../kube/resources.ts";
import { kubeconfigPath, ROOT } from "../test/harness/cluster.ts";
import { clusterTool } from "../test/harness/command.ts";
import type { Subresources } from "../test/harness/subresource.ts";
import type { BenchContext } from "./bench.ts";
import { measured, plainSource, SOURCE_PORT, sourceBeside, speedOf } from "./console-source.ts";
import { programPods } from "./deployment.ts";
import { median, rounded } from "./median.ts";
import { freeze } from "./sabotage.ts";

const ROUND_MS = 3_000;
const FORWARD_TIMEOUT_MS = 15_000;

export interface Speeds {
  /** Of what kubectl port-forward to a plain pod reaches: medians of the rounds' ratios. */
  readonly portForwardRatio: number;
  readonly vncRatio: number;
  /** MB/s, medians. */
  readonly kubectlMBps: number;
  readonly portForwardMBps: number;
  readonly vncMBps: number;
}

export interface SpeedOptions {
  readonly api: Subresources;
  readonly namespace: string;
  readonly pod: Pod;
  readonly image: string;
  readonly rounds: number;
}

/** @param options.pod of the machine `tiny`, whose port SOURCE_PORT is its pod's own */
export async function speedsOf(
  { client, progress, sabotage }: BenchContext,
  options: SpeedOptions,
): Promise<Speeds> {
  const { api, namespace, pod, image, rounds } = options;
  await sourceBeside(client, pod, image);
  const plain = await plainSource(client, namespace, image);
  await using kubectl = await forwarding(clusterTool("kubectl"), (port) => [
    ...["port-forward", "--namespace", namespace, `pod/${plain}`, `${port}:${SOURCE_PORT}`],
  ]);
  await using virtpod = await forwarding(process.execPath, (port) => [
    ...["dist/cli.mjs", "port-forward", "--namespace", namespace, "vm/tiny", `${port}:${SOURCE_PORT}`],
  ]);
  const speeds: { readonly kubectl: number; readonly portForward: number; readonly vnc: number }[] = [];
  for (let round = 1; round <= rounds; round++) {
    const harm = sabotage ? setInterval(() => void holdUpOperators(client), ROUND_MS) : undefined;
    try {
      const viaKubectl = await speedOf(kubectl.port, ROUND_MS);
      const portForward = await speedOf(virtpod.port, ROUND_MS);
      const vnc = await screenSpeed(api);
      speeds.push({ kubectl: viaKubectl, portForward, vnc });
      progress(
        `round ${round}: kubectl ${megabytes(viaKubectl)}, port-forward ${megabytes(portForward)}, VNC ${megabytes(vnc)}`,
      );
    } finally {
      clearInterval(harm);
    }
  }
  const of = (pick: (speed: (typeof speeds)[number]) => number) => rounded(median(speeds.map(pick)));
  return {
    kubectlMBps: of(({ kubectl }) => kubectl / 1e6),
    portForwardMBps: of(({ portForward }) => portForward / 1e6),
    vncMBps: of(({ vnc }) => vnc / 1e6),
    portForwardRatio: of(({ portForward, kubectl }) => portForward / kubectl),
    vncRatio: of(({ vnc, kubectl }) => vnc / kubectl),
  };
}

async function holdUpOperators(client: Client): Promise<void> {
  for (const pod of await programPods(client, "operator")) freeze(pod, /^node$/, ROUND_MS * 0.8);
}

async function screenSpeed(api: Subresources): Promise<number> {
  const session = await api.session("virtualmachineinstances/tiny/vnc");
  session.forget();
  return measured(ROUND_MS, (count) => {
    session.websocket.on("message", (data: Buffer) => count(data.length));
    return () => session.websocket.terminate();
  });
}

interface Forwarding extends AsyncDisposable {
  readonly port: number;
}

/** A program that forwards a free local port, once it says so. */
async function forwarding(command: string, args: (port: number) => readonly string[]): Promise<Forwarding> {
  const port = await freePort();
  const env = { ...process.env, KUBECONFIG: kubeconfigPath() };
  const child = spawn(command, args(port), { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await spoken(child, /forwarding/i);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function spoken(child: ChildProcess, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = "";
    const fail = () => {
      child.kill("SIGKILL");
      reject(new Error(`${child.spawnargs.join(" ")} forwards nothing: ${text}`));
    };
    const timer = setTimeout(fail, FORWARD_TIMEOUT_MS);
    const take = (chunk: Buffer) => {
      text += chunk.toString("utf8");
      if (!pattern.test(text)) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout?.on("data", take);
    child.stderr?.on("data", take);
    child.once("close", fail);
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

function megabytes(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1e6).toFixed(0)} MB/s`;
}
