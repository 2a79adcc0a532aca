import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { type Clock, systemClock } from "../lib/clock.ts";
import type { ClusterConfig, Credentials } from "./config.ts";
import { ConfigError } from "./errors.ts";

/** Exec plugins' credentials are cached by client-node until they expire; this bounds how often we ask it. */
const HEADERS_MAX_AGE_MS = 10_000;
const EXEC_TIMEOUT_MS = 60_000;

/**
 * The configuration that kubectl would use.
 * @param options.files paths as in KUBECONFIG, separated by `:`; ~/.kube/config unless told
 * @param options.context instead of the current context
 * @throws ConfigError when a file cannot be read or names no usable context
 */
export async function kubeconfig(
  options: { files?: string; context?: string; clock?: Clock } = {},
): Promise<ClusterConfig> {
  const { files = join(homedir(), ".kube", "config"), context, clock = systemClock } = options;
  // Loaded only here: an operator in a pod never needs it, and it takes 85 MB.
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  for (const [index, file] of files.split(delimiter).filter(Boolean).entries()) {
    try {
      const next = new KubeConfig();
      next.loadFromFile(file);
      if (index === 0) {
        config.loadFromOptions({
          clusters: next.clusters,
          users: next.users,
          contexts: next.contexts,
          currentContext: next.currentContext,
        });
      } else {
        config.mergeConfig(next, true);
      }
    } catch (cause) {
      throw new ConfigError(`read kubeconfig ${file}`, { cause });
    }
  }
  if (context !== undefined) {
    config.setCurrentContext(context);
  }
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  if (cluster === null || user === null) {
    const name = config.currentContext || "(none)";
    throw new ConfigError(
      `kubeconfig ${files}: context ${name} names no cluster or user; choose another context`,
    );
  }
  const applied = await apply(config);
  const server = cluster.server;
  return {
    server,
    tls: {
      ...(applied.ca !== undefined && { ca: applied.ca }),
      ...(applied.cert !== undefined && { cert: applied.cert }),
      ...(applied.key !== undefined && { key: applied.key }),
      ...(applied.servername !== undefined && { servername: applied.servername }),
      ...(applied.rejectUnauthorized !== undefined && { rejectUnauthorized: applied.rejectUnauthorized }),
    },
    credentials: new KubeConfigCredentials(config, clock),
    namespace: config.getContextObject(config.currentContext)?.namespace ?? "default",
    ...(cluster.proxyUrl !== undefined && { proxyUrl: cluster.proxyUrl }),
  };
}

type KubeConfig = import("@kubernetes/client-node").KubeConfig;

/** What KubeConfig fills in. */
interface Applied {
  ca?: Buffer | string;
  cert?: Buffer | string;
  key?: Buffer | string;
  servername?: string;
  rejectUnauthorized?: boolean;
  auth?: string;
  headers?: Record<string, string>;
}

async function apply(config: KubeConfig): Promise<Applied> {
  const applied: Applied = {};
  // Its agent carries a proxy's tunnel, which our transport makes itself.
  await config.applyToHTTPSOptions(applied as Parameters<KubeConfig["applyToHTTPSOptions"]>[0]);
  return applied;
}

/** Token, basic auth, exec plugin, OIDC: whatever the kubeconfig's user has. */
class KubeConfigCredentials implements Credentials {
  readonly #config: KubeConfig;
  readonly #clock: Clock;
  #cached: { headers: Readonly<Record<string, string>>; readMs: number } | undefined;

  constructor(config: KubeConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
  }

  async headers(signal?: AbortSignal): Promise<Readonly<Record<string, string>>> {
    const nowMs = this.#clock.monotonic();
    if (this.#cached === undefined || nowMs - this.#cached.readMs >= HEADERS_MAX_AGE_MS) {
      const limit = AbortSignal.timeout(EXEC_TIMEOUT_MS);
      const applied = await until(
        apply(this.#config),
        signal === undefined ? limit : AbortSignal.any([signal, limit]),
      );
      const headers = Object.entries(applied.headers ?? {}).map(([name, value]) => [
        name.toLowerCase(),
        String(value),
      ]);
      if (applied.auth !== undefined) {
        headers.push(["authorization", `Basic ${Buffer.from(applied.auth).toString("base64")}`]);
      }
      this.#cached = { headers: Object.fromEntries(headers), readMs: nowMs };
    }
    return this.#cached.headers;
  }

  refresh(): boolean {
    this.#cached = undefined;
    return true;
  }
}

function until<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
