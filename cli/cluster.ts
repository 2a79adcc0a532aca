/** Where the API server is and with which credentials: kubectl's rules, through the official client's KubeConfig. */
import type { RequestOptions } from "node:https";
import { KubeConfig } from "@kubernetes/client-node";
import { CliError } from "./errors.ts";

export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

export interface Cluster {
  readonly server: URL;
  /** The namespace of the flag, else of the context, else `default`. */
  readonly namespace: string;
  /** TLS material and headers for a request to the API server. */
  credentials(): Promise<RequestOptions>;
}

/** @throws CliError when no cluster is configured */
export function clusterOf(flags: ClusterFlags): Cluster {
  const config = loadConfig(flags);
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new CliError(
      `no cluster is configured${flags.context === undefined ? "" : ` in context ${flags.context}`}: ` +
        "set KUBECONFIG or pass --kubeconfig",
    );
  }
  const context = config.getContextObject(config.getCurrentContext());
  return {
    server: new URL(cluster.server),
    namespace: flags.namespace ?? context?.namespace ?? "default",
    credentials: async () => {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      return options;
    },
  };
}

/** @throws CliError when a file can't be read or understood */
function loadConfig(flags: ClusterFlags): KubeConfig {
  const config = new KubeConfig();
  try {
    if (flags.kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(flags.kubeconfig);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(`the kubeconfig can't be used: ${reason}; set KUBECONFIG or pass --kubeconfig`, {
      cause,
    });
  }
  if (flags.context !== undefined) config.setCurrentContext(flags.context);
  return config;
}
