/**
 * How long a guest takes to its address, and where that goes: a plain pod, the same guest under bare qemu and a VM
 * take turns, so that whatever else the machine does hits all three alike.
 */
import { bootGuest, kernelArguments, type Machine, prepareMachine } from "../images/guest-tiny/boot.ts";
import type { Client } from "../kube/client.ts";
import { PODS } from "../kube/resources.ts";
import { sleep } from "../lib/clock.ts";
import { VIRTUAL_MACHINES } from "../operator/kinds.ts";
import { makeNamespace, removeNamespace, until, untilGone } from "../test/harness/cluster.ts";
import { clearing } from "../test/harness/interrupts.ts";
import { createMachine } from "../test/harness/machine.ts";
import { Observer, STEPS, type Step } from "../test/harness/timeline.ts";
import type { Bench, BenchContext } from "./bench.ts";
import { programPods } from "./deployment.ts";
import { median, rounded } from "./median.ts";
import { freeze } from "./sabotage.ts";

export interface StartupReport {
  readonly runs: number;
  /** Create request → watch shows the pod Ready. */
  readonly plainPodReadySeconds: number;
  /** Create request → the guest's lease line in the pod's log, by the container runtime's stamp. */
  readonly vmLeaseSeconds: number;
  /** Create request → answer of the guest's web server. */
  readonly vmHttpSeconds: number;
  /** Start of bare qemu → the guest's lease line on its console. */
  readonly guestBootSeconds: number;
  /** lease − plain pod − guest boot. */
  readonly overheadSeconds: number;
  /** As vmLeaseSeconds, of five VMs created at once. */
  readonly fiveAtOnceLeaseSeconds: number;
  /** As guestBootSeconds, of five bare qemus started at once: what the machine's CPUs alone allow. */
  readonly fiveBareAtOnceSeconds: number;
  /** Delete request → watch shows the pod gone. */
  readonly deleteSeconds: number;
  /** Median seconds since the create request at which each step was reached. */
  readonly steps: Readonly<Record<string, number>>;
  /** Median of the guest's own uptime at its lease, in the VM and under bare qemu. */
  readonly leaseUptimeSeconds: { readonly vm: number; readonly bare: number };
}

/** Bare qemu and the VM boot the same guest: what images/guest-tiny/boot.ts gives it is the VM's too. */
const GUEST = { memoryMiB: 128, kernelArguments } as const;
const AT_ONCE = 5;
const AT_ONCE_ROUNDS = 2;
const START_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 60_000;
/** Until the guest's late drivers are loaded, so that deletion is measured on a guest at rest. */
const REST_MS = 4000;
/** How long a control run holds up a start and an end. */
const START_HARM_MS = 4000;
const AT_ONCE_HARM_MS = 20_000;
const END_HARM_MS = 3000;

interface BareStart {
  readonly leaseMs: number;
  readonly uptimeSeconds: number;
}

interface Start {
  readonly leaseMs: number;
  readonly httpMs: number;
  readonly deleteMs: number;
  readonly leaseUptimeSeconds: number;
  readonly steps: ReadonlyMap<Step, number>;
}

export const startup: Bench<StartupReport> = {
  name: "startup",
  promises: [
    { name: "overhead", atMost: 1.5, unit: "s", figure: (report) => report.overheadSeconds },
    { name: "five at once, lease", atMost: 10, unit: "s", figure: (report) => report.fiveAtOnceLeaseSeconds },
    { name: "delete", atMost: 2, unit: "s", figure: (report) => report.deleteSeconds },
  ],
  run,
};

async function run(context: BenchContext): Promise<StartupReport> {
  const { client, progress, runs } = context;
  progress("preparing bare qemu");
  const machine = await prepareMachine();
  const namespace = await makeNamespace(client, "bench-startup");
  await using _ = clearing(() => removeNamespace(client, namespace));
  const image = await plainImage(client);
  const plain: number[] = [];
  const bare: BareStart[] = [];
  const starts: Start[] = [];
  for (let index = 0; index < runs; index++) {
    const plainMs = await plainPod(client, namespace, image, `plain-${index}`);
    const guest = await bareGuest(machine);
    const start = await vm(context, namespace, `vm-${index}`);
    plain.push(plainMs);
    bare.push(guest);
    starts.push(start);
    progress(
      `run ${index + 1}/${runs}: plain pod ${seconds(plainMs)}, bare qemu ${seconds(guest.leaseMs)}, ` +
        `VM lease ${seconds(start.leaseMs)}, HTTP ${seconds(start.httpMs)}, delete ${seconds(start.deleteMs)}`,
    );
  }
  const atOnce: number[] = [];
  const bareAtOnce: number[] = [];
  for (let round = 0; round < AT_ONCE_ROUNDS; round++) {
    const leases = await fiveAtOnce(context, namespace, round);
    atOnce.push(...leases);
    progress(`five VMs at once: ${leases.map(seconds).join(", ")}`);
    const guests = await Promise.all(Array.from({ length: AT_ONCE }, () => bareGuest(machine)));
    const bareLeases = guests.map(({ leaseMs }) => leaseMs);
    bareAtOnce.push(...bareLeases);
    progress(`five bare qemu at once: ${bareLeases.map(seconds).join(", ")}`);
  }
  return report({ plain, bare, starts, atOnce, bareAtOnce });
}

function report(samples: {
  readonly plain: readonly number[];
  readonly bare: readonly BareStart[];
  readonly starts: readonly Start[];
  readonly atOnce: readonly number[];
  readonly bareAtOnce: readonly number[];
}): StartupReport {
  const { plain, bare, starts, atOnce, bareAtOnce } = samples;
  const figure = (milliseconds: readonly number[]) => rounded(median(milliseconds) / 1000);
  const plainPodReadySeconds = figure(plain);
  const vmLeaseSeconds = figure(starts.map(({ leaseMs }) => leaseMs));
  const guestBootSeconds = figure(bare.map(({ leaseMs }) => leaseMs));
  const reached = STEPS.map(
    (step) => [step, starts.flatMap(({ steps }) => steps.get(step) ?? [])] as const,
  ).filter(([, times]) => times.length > 0);
  return {
    runs: starts.length,
    plainPodReadySeconds,
    vmLeaseSeconds,
    vmHttpSeconds: figure(starts.map(({ httpMs }) => httpMs)),
    guestBootSeconds,
    overheadSeconds: rounded(vmLeaseSeconds - plainPodReadySeconds - guestBootSeconds),
    fiveAtOnceLeaseSeconds: figure(atOnce),
    fiveBareAtOnceSeconds: figure(bareAtOnce),
    deleteSeconds: figure(starts.map(({ deleteMs }) => deleteMs)),
    steps: Object.fromEntries(reached.map(([step, times]) => [step, figure(times)])),
    leaseUptimeSeconds: {
      vm: rounded(median(starts.map(({ leaseUptimeSeconds }) => leaseUptimeSeconds))),
      bare: rounded(median(bare.map(({ uptimeSeconds }) => uptimeSeconds))),
    },
  };
}

/** An image that the node has and that can wait: the operator's own. */
async function plainImage(client: Client): Promise<string> {
  const [pod] = await programPods(client, "operator");
  return pod?.spec.containers[0]?.image ?? "";
}

async function plainPod(client: Client, namespace: string, image: string, name: string): Promise<number> {
  const pods = client.resource(PODS).namespace(namespace);
  const createdMs = Date.now();
  await pods.create({
    metadata: { name, namespace },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, runAsUser: 107, seccompProfile: { type: "RuntimeDefault" } },
      containers: [
        {
          name: "plain",
          image,
          imagePullPolicy: "IfNotPresent",
          command: ["sleep", "600"],
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        },
      ],
    },
  });
  await until(client, PODS, {
    namespace,
    name,
    what: "condition Ready",
    timeoutMs: START_TIMEOUT_MS,
    when: (pod) =>
      pod?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true,
  });
  const readyMs = Date.now() - createdMs;
  await pods.delete(name, { gracePeriodSeconds: 0 });
  await untilGone(client, PODS, { namespace, name, timeoutMs: END_TIMEOUT_MS });
  return readyMs;
}

/** The launcher image's qemu with the VM's kernel, command line and memory; no launcher, no libvirt. */
async function bareGuest(machine: Machine): Promise<BareStart> {
  await using guest = await bootGuest(machine, { memory: GUEST.memoryMiB });
  const line = await guest.line(/virtpod-guest: uptime=\S+ lease /);
  return { leaseMs: line.at, uptimeSeconds: Number(/uptime=(\S+)/.exec(line.text)?.[1]) };
}

async function vm(context: BenchContext, namespace: string, name: string): Promise<Start> {
  const { client } = context;
  const observer = await Observer.start(client, namespace, name);
  try {
    const createdMs = Date.now();
    await createMachine(client, { namespace, name, ...GUEST });
    if (context.sabotage) await holdUpAgents(client, START_HARM_MS);
    const leaseAtMs = await observer.until("lease", START_TIMEOUT_MS);
    await fetchGuest(observer.address ?? "");
    observer.mark("http");
    await sleep(REST_MS);
    const deleteMs = await deleteMachine(context, namespace, name, observer);
    const steps = new Map([...observer.reached].map(([step, atMs]) => [step, atMs - createdMs]));
    return {
      leaseMs: leaseAtMs - createdMs,
      httpMs: steps.get("http") ?? Number.NaN,
      deleteMs,
      leaseUptimeSeconds: observer.leaseUptimeSeconds ?? Number.NaN,
      steps,
    };
  } finally {
    observer.close();
  }
}

async function deleteMachine(
  context: BenchContext,
  namespace: string,
  name: string,
  { pod }: Observer,
): Promise<number> {
  if (pod === undefined) throw new Error(`VM ${namespace}/${name} has a lease and no launcher pod`);
  const { client } = context;
  const gone = untilGone(client, PODS, { namespace, name: pod.metadata.name, timeoutMs: END_TIMEOUT_MS });
  if (context.sabotage) freeze(pod, /^qemu-system/, END_HARM_MS);
  const deletedMs = Date.now();
  await client
    .resource(VIRTUAL_MACHINES)
    .namespace(namespace)
    .delete(name, { propagationPolicy: "Background" });
  await gone;
  return Date.now() - deletedMs;
}

async function fiveAtOnce(context: BenchContext, namespace: string, round: number): Promise<number[]> {
  const { client } = context;
  const names = Array.from({ length: AT_ONCE }, (_, index) => `five-${round}-${index}`);
  const observers = await Promise.all(names.map((name) => Observer.start(client, namespace, name)));
  try {
    const createdMs = Date.now();
    await Promise.all(names.map((name) => createMachine(client, { namespace, name, ...GUEST })));
    if (context.sabotage) await holdUpAgents(client, AT_ONCE_HARM_MS);
    const leases = await Promise.all(observers.map((observer) => observer.until("lease", START_TIMEOUT_MS)));
    for (const name of names) await client.resource(VIRTUAL_MACHINES).namespace(namespace).delete(name);
    for (const name of names) {
      await untilGone(client, VIRTUAL_MACHINES, { namespace, name, timeoutMs: END_TIMEOUT_MS });
    }
    return leases.map((leaseAtMs) => leaseAtMs - createdMs);
  } finally {
    for (const observer of observers) observer.close();
  }
}

/** The launchers' network waits while the agents stand still. */
async function holdUpAgents(client: Client, durationMs: number): Promise<void> {
  for (const pod of await programPods(client, "agent")) freeze(pod, /^node$/, durationMs);
}

async function fetchGuest(address: string): Promise<void> {
  const response = await fetch(`http://${address}/`, { signal: AbortSignal.timeout(10_000) });
  const body = (await response.json()) as { address: string };
  if (body.address !== address) throw new Error(`the guest at ${address} says that it is ${body.address}`);
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}
