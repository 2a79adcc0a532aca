import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Clock, systemClock } from "../lib/clock.ts";
import { type ClusterConfig, type Credentials, renewedTls, type TlsMaterial } from "./config.ts";
import { ConfigError } from "./errors.ts";
import { unlessAborted } from "./unless-aborted.ts";

type KubeConfig = import("@kubernetes/client-node").KubeConfig;
type User = ReturnType<KubeConfig["getUsers"]>[number];

/** client-node keeps a plugin's credentials until they expire, and reads files each time; this bounds how often. */
const IDENTITY_MAX_AGE_MS = 10_000;
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
  const config = await load(files.split(delimiter).filter(Boolean));
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
  const identity = new KubeConfigIdentity(config, clock);
  await identity.headers();
  return {
    server: cluster.server,
    get tls() {
      return identity.tls;
    },
    credentials: identity,
    namespace: config.getContextObject(config.currentContext)?.namespace ?? "default",
    ...(cluster.proxyUrl !== undefined && { proxyUrl: cluster.proxyUrl }),
  };
}

/** Files merged as kubectl merges them: the first that names something wins, and of several some may be missing. */
async function load(files: readonly string[]): Promise<KubeConfig> {
  // Loaded only here: an operator in a pod never needs it, and it takes 85 MB.
  const { KubeConfig } = await import("@kubernetes/client-node");
  const merged = { clusters: new Map(), users: new Map(), contexts: new Map(), currentContext: "" };
  const addTo = <T extends { name: string }>(all: Map<string, T>, more: readonly T[]) => {
    for (const item of more) {
      all.set(item.name, all.get(item.name) ?? item);
    }
  };
  for (const file of files) {
    const next = new KubeConfig();
    try {
      next.loadFromFile(file);
    } catch (cause) {
      if (files.length > 1 && (cause as NodeJS.ErrnoException).code === "ENOENT") {
        continue;
      }
      throw new ConfigError(`read kubeconfig ${file}`, { cause });
    }
    addTo(merged.clusters, next.clusters);
    addTo(merged.users, next.users.map(withExecInfo));
    addTo(merged.contexts, next.contexts);
    merged.currentContext ||= next.currentContext ?? "";
  }
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [...merged.clusters.values()],
    users: [...merged.users.values()],
    contexts: [...merged.contexts.values()],
    currentContext: merged.currentContext,
  });
  return config;
}

/** What a credential plugin is told by KUBERNETES_EXEC_INFO: the version to answer in, and that nobody can type. */
function withExecInfo(user: User): User {
  if (!user.exec) {
    return user;
  }
  const { apiVersion } = user.exec;
  const info = { apiVersion, kind: "ExecCredential", spec: { interactive: false } };
  const env = [...(user.exec.env ?? []), { name: "KUBERNETES_EXEC_INFO", value: JSON.stringify(info) }];
  return { ...user, exec: { ...user.exec, env } };
}

/** What KubeConfig fills in. */
interface Applied extends TlsMaterial {
  readonly auth?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Token, basic auth, exec plugin, OIDC, client certificate: whatever the kubeconfig's user has. */
class KubeConfigIdentity implements Credentials {
  readonly #clock: Clock;
  #config: KubeConfig;
  #tls: TlsMaterial = {};
  #headers: Readonly<Record<string, string>> = {};
  #readMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(config: KubeConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
  }

  /** As of the last `headers`: a plugin's client certificate and files of certificates change while we run. */
  get tls(): TlsMaterial {
    return this.#tls;
  }

  /** @throws ConfigError when a plugin or a file fails */
  async headers(signal?: AbortSignal): Promise<Readonly<Record<string, string>>> {
    if (this.#clock.monotonic() - this.#readMs >= IDENTITY_MAX_AGE_MS) {
      // One plugin at a time, however many requests wait for it; it goes on when one of them is given up.
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      await unlessAborted(this.#reading, signal);
    }
    return this.#headers;
  }

  refresh(refused?: Readonly<Record<string, string>>): boolean {
    if (refused === undefined || isDeepStrictEqual(refused, this.#headers)) {
      this.#readMs = Number.NEGATIVE_INFINITY;
      // client-node would give us the same credentials until they expire; a new KubeConfig has none.
      const { clusters, users, contexts, currentContext } = this.#config;
      this.#config = new (this.#config.constructor as new () => KubeConfig)();
      this.#config.loadFromOptions({ clusters, users, contexts, currentContext });
    }
    return true;
  }

  async #read(): Promise<void> {
    const applied: Applied = {};
    try {
      // Its agent carries a proxy's tunnel, which our transport makes itself.
      const applying = this.#config.applyToHTTPSOptions(
        applied as Parameters<KubeConfig["applyToHTTPSOptions"]>[0],
      );
      await unlessAborted(applying, AbortSignal.timeout(EXEC_TIMEOUT_MS));
    } catch (cause) {
      const user = this.#config.getCurrentUser()?.name;
      throw new ConfigError(`credentials of ${user} in the kubeconfig: ${(cause as Error).message}`, {
        cause,
      });
    }
    this.#tls = renewedTls(this.#tls, tlsOf(applied));
    this.#headers = headersOf(applied);
    this.#readMs = this.#clock.monotonic();
  }
}

function tlsOf({ ca, cert, key, servername, rejectUnauthorized }: Applied): TlsMaterial {
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(servername !== undefined && { servername }),
    ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
  };
}

function headersOf({ headers = {}, auth }: Applied): Record<string, string> {
  const named = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]);
  const basic =
    auth === undefined ? [] : [["authorization", `Basic ${Buffer.from(auth).toString("base64")}`]];
  return Object.fromEntries([...named, ...basic]);
}
