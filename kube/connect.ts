import { Client } from "./client.ts";
import type { ClusterConfig } from "./config.ts";
import { inClusterConfig } from "./in-cluster.ts";
import { kubeconfig } from "./kubeconfig.ts";
import { KubeMetrics } from "./metrics.ts";
import { UndiciTransport } from "./undici-transport.ts";

export interface ConnectOptions {
  /** The process's environment: KUBECONFIG and KUBERNETES_SERVICE_* are read. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly userAgent: string;
  /** kubeconfig file, before KUBECONFIG. */
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly metrics?: KubeMetrics;
}

/** Kubeconfig if one is named, else the pod's service account, else ~/.kube/config. */
export function loadConfig(options: Omit<ConnectOptions, "userAgent" | "metrics">): Promise<ClusterConfig> {
  const { environment, context } = options;
  // Empty is as good as unset, as kubectl has it.
  const files = options.kubeconfig ?? (environment["KUBECONFIG"] || undefined);
  if (files === undefined && context === undefined && environment["KUBERNETES_SERVICE_HOST"] !== undefined) {
    return inClusterConfig(environment);
  }
  return kubeconfig({ ...(files !== undefined && { files }), ...(context !== undefined && { context }) });
}

/**
 * A client of the cluster that the environment points to.
 * @throws ConfigError when the configuration cannot be used; no connection is made yet
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const { userAgent, metrics = new KubeMetrics() } = options;
  const config = await loadConfig(options);
  const { host } = new URL(config.server);
  const transport = new UndiciTransport(config, {
    onLookup: (seconds) => metrics.nameLookedUp(host, seconds),
  });
  return new Client({ transport, credentials: config.credentials, userAgent, metrics });
}
