import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Clock, systemClock } from "../lib/clock.ts";
import { type ClusterConfig, type Credentials, renewedTls, type TlsMaterial } from "./config.ts";
import { ConfigError } from "./errors.ts";

/** Where the kubelet mounts a pod's service account. */
export const SERVICE_ACCOUNT_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";
/** The kubelet renews a bound token at 80% of its life; client-go reads it every minute too. */
const TOKEN_MAX_AGE_MS = 60_000;

/**
 * The configuration of a process in a pod.
 * Ours instead of client-node's: loading that library takes 85 MB of memory, and this is all it would do.
 * @throws ConfigError when a file cannot be read
 */
export async function inClusterConfig(
  environment: Readonly<Record<string, string | undefined>>,
  options: { directory?: string; clock?: Clock } = {},
): Promise<ClusterConfig> {
  const { directory = SERVICE_ACCOUNT_DIRECTORY, clock = systemClock } = options;
  const host = environment["KUBERNETES_SERVICE_HOST"];
  const port = environment["KUBERNETES_SERVICE_PORT"] ?? "443";
  if (host === undefined) {
    throw new ConfigError("in-cluster configuration: KUBERNETES_SERVICE_HOST is not set; is this a pod?");
  }
  const read = async (name: string) => {
    try {
      return await readFile(join(directory, name), "utf8");
    } catch (cause) {
      throw new ConfigError(`in-cluster configuration: read ${join(directory, name)}; is a token mounted?`, {
        cause,
      });
    }
  };
  let tls: TlsMaterial = { ca: await read("ca.crt") };
  const credentials = new FileToken(async () => {
    // The authority is rotated too, more rarely, and is mounted beside the token.
    tls = renewedTls(tls, { ca: await read("ca.crt") });
    return read("token");
  }, clock);
  await credentials.headers();
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    get tls() {
      return tls;
    },
    credentials,
    namespace: (await read("namespace").catch(() => "default")).trim(),
  };
}

/** A bearer token in a file that somebody renews. */
export class FileToken implements Credentials {
  readonly #read: () => Promise<string>;
  readonly #clock: Clock;
  #reading: Promise<void> | undefined;
  #headers: Readonly<Record<string, string>> | undefined;
  #readMs = Number.NEGATIVE_INFINITY;

  constructor(read: () => Promise<string>, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
  }

  async headers(): Promise<Readonly<Record<string, string>>> {
    if (this.#clock.monotonic() - this.#readMs >= TOKEN_MAX_AGE_MS) {
      this.#reading ??= this.#load().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
    return this.#headers ?? {};
  }

  refresh(refused?: Readonly<Record<string, string>>): boolean {
    if (refused === undefined || isDeepStrictEqual(refused, this.#headers)) {
      this.#readMs = Number.NEGATIVE_INFINITY;
    }
    return true;
  }

  async #load(): Promise<void> {
    try {
      this.#headers = { authorization: `Bearer ${(await this.#read()).trim()}` };
      this.#readMs = this.#clock.monotonic();
    } catch (error) {
      // The kubelet swaps the volume's symlink; the old token outlives a read that falls in between.
      if (this.#headers === undefined) {
        throw error;
      }
    }
  }
}
