/** Ten thousand pods as a real cluster has them: spec, status and managedFields, some 4 KiB of JSON each. */
import type { Client } from "../kube/client.ts";
import { isTransient } from "../kube/errors.ts";
import type { Draft } from "../kube/objects.ts";
import { PODS, type Pod } from "../kube/resources.ts";

/** Requests at once: more than the two cores of a small machine can work on, few enough for its queues. */
const CONCURRENCY = 32;
/** Deleted by as many requests at once: the server deletes the objects of one request one after the other. */
const SHARDS = 16;
const SHARD = "bench/shard";
const DELETE_TIMEOUT_MS = 60_000;

export function podName(index: number): string {
  return `web-7d9c5b8f6b-${index.toString(36).padStart(5, "0")}`;
}

/** Creates the pods and gives each the status of a running one. No scheduler serves them, so nothing else happens. */
export async function createPods(client: Client, namespace: string, count: number): Promise<void> {
  const pods = client.resource(PODS).namespace(namespace);
  await inParallel(count, async (index) => {
    await pods.create(draft(index), { fieldManager: "kube-controller-manager" });
    const body = { status: status(index) };
    const options = { subresource: "status", fieldManager: "kubelet" };
    await pods.patch(podName(index), { type: "merge", body }, options);
  });
}

/** Bytes of the API server's answer to a list of the namespace's pods. */
export async function listBytes(client: Client, namespace: string): Promise<number> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  const text = await client.requestText({ method: "GET", path, action: "list pods", timeoutMs: 60_000 });
  return Buffer.byteLength(text);
}

/** Deletes all pods of the namespace; a request that meets its deadline is made again. */
export async function deletePods(client: Client, namespace: string): Promise<void> {
  const pods = client.resource(PODS).namespace(namespace);
  await inParallel(SHARDS, async (shard) => {
    const labelSelector = `${SHARD}=${shard}`;
    for (let left = true; left; ) {
      try {
        await pods.deleteCollection({ labelSelector, gracePeriodSeconds: 0, timeoutMs: DELETE_TIMEOUT_MS });
      } catch (error) {
        if (!isTransient(error)) throw error;
      }
      left = (await pods.list({ labelSelector, limit: 1 })).items.length > 0;
    }
  });
}

async function inParallel(count: number, run: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

function draft(index: number): Draft<Pod> {
  return {
    metadata: {
      name: podName(index),
      labels: {
        app: "web",
        "app.kubernetes.io/name": "web",
        "pod-template-hash": "7d9c5b8f6b",
        [SHARD]: String(index % SHARDS),
      },
      annotations: { "checksum/config": hex(index, 64) },
    },
    spec: {
      schedulerName: "nobody",
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
      containers: [
        {
          name: "web",
          image: `registry.example/shop/web:v1.${index % 20}.0`,
          args: ["--listen=:8080", "--log-format=json"],
          ports: [{ containerPort: 8080 }],
          resources: { requests: { cpu: "100m", memory: "128Mi" } },
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        },
      ],
    },
  };
}

function status(index: number): object {
  const started = "2026-11-20T08:15:02Z";
  const hostIP = `10.0.${index % 64}.7`;
  const podIP = `10.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  const condition = (type: string) => ({ type, status: "True", lastTransitionTime: started });
  return {
    phase: "Running",
    conditions: ["Initialized", "Ready", "ContainersReady"].map(condition),
    hostIP,
    hostIPs: [{ ip: hostIP }],
    podIP,
    podIPs: [{ ip: podIP }],
    startTime: started,
    containerStatuses: [
      {
        name: "web",
        image: `registry.example/shop/web:v1.${index % 20}.0`,
        imageID: `registry.example/shop/web@sha256:${hex(index % 20, 64)}`,
        containerID: `containerd://${hex(index + 1_000_000, 64)}`,
        ready: true,
        started: true,
        restartCount: 0,
        state: { running: { startedAt: started } },
      },
    ],
  };
}

/** Digits that differ from pod to pod, as hashes do. */
function hex(seed: number, length: number): string {
  let state = seed + 1;
  let text = "";
  while (text.length < length) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) ^ (text.length + 0x9e3779b9);
    text += (state >>> 0).toString(16).padStart(8, "0");
  }
  return text.slice(0, length);
}
