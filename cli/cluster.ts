/** Where the API server is and with which credentials: kubectl's rules, through the official client's KubeConfig. */
import type { RequestOptions } from "node:https";
import { KubeConfig } from "@kubernetes/client-node";
import { CliError } from "./errors.ts";
import { printable } from "./table.ts";

export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

export interface Cluster {
  readonly server: URL;
  /** The namespace of the flag, else of the context, else `default`. */
  readonly namespace: string;
  /** TLS material and headers for a request to the API server. @throws CliError when a file or a plugin fails */
  credentials(): Promise<RequestOptions>;
}

/** @throws CliError when no cluster is configured, or one without a URL */
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
  const server = serverOf(cluster.server);
  const used = server.protocol === "http:" ? withoutSecrets(config, cluster) : config;
  return {
    server,
    namespace: flags.namespace ?? context?.namespace ?? "default",
    credentials: async () => {
      const options: RequestOptions = {};
      try {
        await used.applyToHTTPSOptions(options);
      } catch (cause) {
        throw new CliError(`the kubeconfig's credentials can't be used: ${reasonOf(cause)}`, { cause });
      }
      return options;
    },
  };
}

/** @throws CliError */
function serverOf(text: string): URL {
  // HOST:PORT may be a URL too, whose scheme is the host.
  if (URL.canParse(text)) {
    const url = new URL(text);
    if (["http:", "https:"].includes(url.protocol)) return url;
  }
  throw new CliError(`the kubeconfig's server ${text} is no URL: write https://HOST:PORT`);
}

/** As kubectl, which sends no secret unencrypted, so that neither files nor plugins are needed. */
function withoutSecrets(
  config: KubeConfig,
  { name, server, proxyUrl }: KubeConfig["clusters"][number],
): KubeConfig {
  const user = config.getCurrentUser();
  const open = new KubeConfig();
  open.loadFromClusterAndUser(
    // client-node goes by the scheme's case, and takes http: only where certificates are not checked.
    {
      name,
      server: server.replace(/^http:/i, "http:"),
      skipTLSVerify: true,
      ...(proxyUrl !== undefined && { proxyUrl }),
    },
    {
      name: user?.name ?? "",
      ...(user?.impersonateUser !== undefined && { impersonateUser: user.impersonateUser }),
    },
  );
  return open;
}

function reasonOf(cause: unknown): string {
  const { code, message, path, syscall } = cause as NodeJS.ErrnoException;
  if (code === "ENOENT" && syscall?.startsWith("spawn")) {
    return `there is no program ${path}: install it, or put it into the PATH`;
  }
  // Of a plugin that fails, client-node tells what it wrote to standard error.
  return printable(message.trim().replace(/\s+/g, " ")) || "the plugin failed and said nothing";
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
