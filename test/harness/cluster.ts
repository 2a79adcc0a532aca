/** The real cluster as tests and benchmarks use it: create, wait for a condition by watching, clean up. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Client } from "../../kube/client.ts";
import { connect } from "../../kube/connect.ts";
import { NotFoundError } from "../../kube/errors.ts";
import type { KubeObject, ResourceDescriptor } from "../../kube/objects.ts";
import { NAMESPACES, type Namespace, PODS, type Pod, SERVICE_ACCOUNTS } from "../../kube/resources.ts";

export const ROOT = dirname(dirname(import.meta.dirname));

/** The caller's KUBECONFIG, else the development cluster's. */
export function kubeconfigPath(): string {
  const path = process.env["KUBECONFIG"] ?? join(ROOT, ".cluster/kubeconfig");
  if (!existsSync(path)) throw new Error(`there is no kubeconfig at ${path}: run make cluster-up`);
  return path;
}

export function connectCluster(userAgent = "virtpod-test/1.0"): Promise<Client> {
  return connect({ environment: process.env, kubeconfig: kubeconfigPath(), userAgent });
}

export interface UntilOptions<T> {
  readonly namespace?: string;
  readonly name: string;
  /** What is waited for, for the message of the failure. */
  readonly what: string;
  readonly timeoutMs: number;
  /** Sees the object after each change; undefined once it is gone. The value it returns ends the wait. */
  readonly when: (object: T | undefined) => boolean;
}

/**
 * Watches one object until `when` holds.
 * @throws Error naming what was waited for and the object as it was last seen
 */
export async function until<T extends KubeObject>(
  client: Client,
  kind: ResourceDescriptor<T>,
  options: UntilOptions<T>,
): Promise<T | undefined> {
  const { namespace, name, what, timeoutMs, when } = options;
  const resource = client.resource(kind).namespace(namespace);
  const signal = AbortSignal.timeout(timeoutMs);
  let last: T | undefined;
  try {
    while (!signal.aborted) {
      const { items, resourceVersion } = await resource.list({
        fieldSelector: `metadata.name=${name}`,
        signal,
      });
      last = items[0];
      if (when(last)) return last;
      const fieldSelector = `metadata.name=${name}`;
      for await (const event of resource.watch({ fieldSelector, resourceVersion, signal })) {
        if (event.type === "BOOKMARK") continue;
        last = event.type === "DELETED" ? undefined : event.object;
        if (when(last)) return last;
      }
    }
  } catch (cause) {
    if (!signal.aborted) throw cause;
  }
  const seen =
    last === undefined ? "it does not exist" : JSON.stringify((last as { status?: unknown }).status, null, 1);
  throw new Error(
    `${kind.kind} ${namespace ?? ""}/${name}: ${what} was not seen in ${timeoutMs} ms; last seen: ${seen}`,
  );
}

export function untilGone<T extends KubeObject>(
  client: Client,
  kind: ResourceDescriptor<T>,
  options: Omit<UntilOptions<T>, "when" | "what">,
): Promise<T | undefined> {
  return until(client, kind, { ...options, what: "its end", when: (object) => object === undefined });
}

/** A namespace of its own for one test file, deleted with all in it afterwards. Resolves when it takes pods. */
export async function makeNamespace(client: Client, prefix: string): Promise<string> {
  const name = `${prefix}-${randomBytes(3).toString("hex")}`;
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  await client.resource<Namespace>(NAMESPACES).create({ metadata: { name, labels } });
  // Until the controller manager has made it, admission refuses every pod.
  await until(client, SERVICE_ACCOUNTS, {
    namespace: name,
    name: "default",
    what: "the account that pods run as",
    timeoutMs: 60_000,
    when: (account) => account !== undefined,
  });
  return name;
}

export async function removeNamespace(client: Client, name: string): Promise<void> {
  try {
    await client.resource<Namespace>(NAMESPACES).delete(name);
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
  }
  await untilGone(client, NAMESPACES, { name, timeoutMs: 120_000 });
}

/**
 * The pod once its kubelet has told that its container has started, which it does later than the agent tells that the
 * guest runs: until then there is neither log nor address.
 */
export async function untilStarted(
  client: Client,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  timeoutMs: number,
): Promise<Pod> {
  const pod = await until(client, PODS, {
    namespace,
    name,
    what: "a started container",
    timeoutMs,
    when: (seen) => {
      if (seen === undefined) return true;
      const { running, terminated } = seen.status?.containerStatuses?.[0]?.state ?? {};
      return running !== undefined || terminated !== undefined;
    },
  });
  if (pod === undefined) throw new Error(`pod ${namespace}/${name} is gone`);
  return pod;
}

/** Follows a pod's log, once it has one, until a line matches. @throws Error with what the log held */
export async function untilLogged(
  client: Client,
  pod: { readonly namespace: string; readonly name: string },
  pattern: RegExp,
  timeoutMs: number,
): Promise<RegExpExecArray> {
  await untilStarted(client, pod, timeoutMs);
  const signal = AbortSignal.timeout(timeoutMs);
  let text = "";
  try {
    const response = await client.stream({
      path: `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/log?follow=true`,
      action: `follow the log of pod ${pod.namespace}/${pod.name}`,
      signal,
    });
    for await (const chunk of response.body) {
      text += Buffer.from(chunk).toString("utf8");
      const match = pattern.exec(text);
      if (match !== null) return match;
    }
  } catch (cause) {
    if (!signal.aborted) throw cause;
  }
  throw new Error(
    `the log of pod ${pod.name} never matched ${pattern} in ${timeoutMs} ms; it ended with:\n${text.slice(-2000)}`,
  );
}

/** The launcher pods of a VMI, by its label. */
export async function launcherPods(client: Client, namespace: string, name: string) {
  const { items } = await client
    .resource(PODS)
    .namespace(namespace)
    .list({ labelSelector: `kubevirt.io=virt-launcher,vm.kubevirt.io/name=${name}` });
  return items;
}
