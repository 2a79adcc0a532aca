/**
 * `make quickstart`: a cluster, virtpod in it, and a guest that answers, with the time of each step.
 * `make quickstart CLUSTER=existing REGISTRY=registry.example/virtpod` does it on the cluster of KUBECONFIG.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { Client } from "../kube/client.ts";
import { VIRTUAL_MACHINES } from "../operator/kinds.ts";
import { connectCluster, ROOT, until, untilGone } from "./harness/cluster.ts";
import { clusterTool, runVisible } from "./harness/command.ts";
import { isConsoleLine } from "./harness/log.ts";
import { EXAMPLE } from "./harness/machine.ts";
import { Observer, type Step } from "./harness/timeline.ts";

const NAMESPACE = "default";
const NAME = "tiny";
const LEASE_TIMEOUT_MS = 120_000;
const CONSOLE_LINES = 8;
/** Registry of the example's guest image, as it stands in the manifest. */
const EXAMPLE_REGISTRY = "localhost/virtpod";
const DEVELOPMENT_KUBECONFIG = join(ROOT, ".cluster/kubeconfig");

const STEP_NAMES: readonly (readonly [Step, string])[] = [
  ["vmiCreated", "VirtualMachineInstance created"],
  ["podCreated", "launcher pod created"],
  ["scheduled", "pod scheduled"],
  ["podStarted", "pod started"],
  ["domainStarted", "domain started"],
  ["lease", "lease"],
  ["http", "HTTP answer"],
];

const started = performance.now();
const hasColour = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
const bold = (text: string) => (hasColour ? `\x1b[1m${text}\x1b[0m` : text);
const green = (text: string) => (hasColour ? `\x1b[32m${text}\x1b[0m` : text);
const dim = (text: string) => (hasColour ? `\x1b[2m${text}\x1b[0m` : text);

try {
  await quickstart();
} catch (error) {
  console.error(`\nquickstart: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

async function quickstart(): Promise<void> {
  prepareCluster();
  heading("virtpod: images and chart");
  runVisible("node", ["test/deploy.ts"]);
  const client = await connectCluster("virtpod-quickstart/1.0");
  try {
    await removeEarlier(client);
    await startGuest(client, findKubectl());
  } finally {
    await client.close();
  }
}

/** Sets KUBECONFIG for this process and its children. */
function prepareCluster(): void {
  if (process.env["CLUSTER"] === "existing") {
    if (process.env["KUBECONFIG"] === undefined || process.env["REGISTRY"] === undefined) {
      throw new Error(
        "CLUSTER=existing needs KUBECONFIG, the cluster, and REGISTRY, where it pulls images from and you may push",
      );
    }
    return;
  }
  process.env["KUBECONFIG"] = DEVELOPMENT_KUBECONFIG;
  heading("a Kubernetes cluster on this machine");
  runVisible("make", ["cluster-up"]);
}

function findKubectl(): string {
  const isHere = spawnSync("kubectl", ["version", "--client"], { stdio: "ignore" }).status === 0;
  return isHere ? "kubectl" : clusterTool("kubectl");
}

async function removeEarlier(client: Client): Promise<void> {
  const vms = client.resource(VIRTUAL_MACHINES).namespace(NAMESPACE);
  const { items } = await vms.list({ fieldSelector: `metadata.name=${NAME}` });
  if (items.length === 0) return;
  heading(`VM ${NAME} of an earlier run is deleted first`);
  await vms.delete(NAME);
  await untilGone(client, VIRTUAL_MACHINES, { namespace: NAMESPACE, name: NAME, timeoutMs: 60_000 });
}

async function startGuest(client: Client, kubectl: string): Promise<void> {
  const observer = await Observer.start(client, NAMESPACE, NAME);
  try {
    heading(`kubectl apply -f ${relative(ROOT, EXAMPLE)}`);
    const created = untilCreated(client);
    apply(kubectl);
    const createdMs = await created;
    await observer.until("lease", LEASE_TIMEOUT_MS);
    const pod = observer.pod?.metadata.name ?? "";
    await client.requestText({
      method: "GET",
      // By way of the API server, which reaches pods in every cluster; this machine may not.
      path: `/api/v1/namespaces/${NAMESPACE}/pods/${pod}:80/proxy/`,
      action: `ask the guest at ${observer.address}`,
    });
    observer.mark("http");
    printTimeline(observer, createdMs);
    printConsole(observer);
    printNext(observer, kubectl);
  } finally {
    observer.close();
  }
}

/** Unix time at which a watch shows the VM. */
async function untilCreated(client: Client): Promise<number> {
  await until(client, VIRTUAL_MACHINES, {
    namespace: NAMESPACE,
    name: NAME,
    what: "its creation",
    timeoutMs: 60_000,
    when: (vm) => vm !== undefined,
  });
  return Date.now();
}

function apply(kubectl: string): void {
  const registry = process.env["REGISTRY"] ?? EXAMPLE_REGISTRY;
  const input = readFileSync(EXAMPLE, "utf8").replaceAll(`${EXAMPLE_REGISTRY}/`, `${registry}/`);
  const { status, error } = spawnSync(kubectl, ["apply", "--namespace", NAMESPACE, "--filename", "-"], {
    input,
    stdio: ["pipe", "inherit", "inherit"],
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`kubectl apply ended with status ${status}`);
}

function printTimeline(observer: Observer, createdMs: number): void {
  heading("from created to an answer");
  const line = (seconds: number, text: string) => console.log(`${seconds.toFixed(2).padStart(8)} s  ${text}`);
  line(0, "created");
  const times = STEP_NAMES.flatMap(([step, name]) => {
    const atMs = observer.reached.get(step);
    return atMs === undefined ? [] : [{ seconds: (atMs - createdMs) / 1000, step, name }];
  });
  for (const { seconds, step, name } of times.sort((a, b) => a.seconds - b.seconds)) {
    const isLease = step === "lease";
    line(seconds, isLease ? `${name} ${observer.address}, guest up ${observer.leaseUptimeSeconds} s` : name);
  }
}

function printConsole(observer: Observer): void {
  heading("the guest's console");
  const lines = observer.lines.filter(({ text }) => text !== "" && isConsoleLine(text));
  for (const { text } of lines.slice(-CONSOLE_LINES)) console.log(`  ${dim(text)}`);
}

function printNext(observer: Observer, kubectl: string): void {
  heading(green("a guest runs and answers; try"));
  const paths = [join(ROOT, "node_modules/node/bin"), ...(kubectl === "kubectl" ? [] : [dirname(kubectl)])];
  // make puts Node 24 first in its own PATH; the person's shell has still another one, or none.
  console.log(`  export PATH=${paths.join(":")}:$PATH`);
  console.log(`  export KUBECONFIG=${process.env["KUBECONFIG"]}\n`);
  console.log(`  node cli/main.ts console ${NAME}     ${dim("# a shell in the guest; Ctrl+] leaves")}`);
  console.log(
    `  curl http://${observer.address}/     ${dim("# the guest answers at the pod's own address")}`,
  );
  console.log(`  kubectl delete vm ${NAME}     ${dim("# powers it off; nothing remains")}`);
}

function heading(text: string): void {
  const elapsed = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`\n${bold(`== ${text}`)} ${dim(`(${elapsed} s)`)}`);
}
