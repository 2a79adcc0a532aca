/** What is needed to reach an API server: where, how to trust it, and who we are. */
import { isDeepStrictEqual } from "node:util";

/** Headers that identify us. */
export interface Credentials {
  /** Authorization and impersonation headers of the next request. Cheap: implementations cache. */
  headers(signal?: AbortSignal): Promise<Readonly<Record<string, string>>>;
  /**
   * Drops what is cached, after a 401. True when the next `headers` may differ.
   * @param refused the headers that got the 401; if they have been replaced since, nothing is dropped
   */
  refresh(refused?: Readonly<Record<string, string>>): boolean;
}

export interface TlsMaterial {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

/** `next`, or `previous` when it says the same: another object means that something was rotated. */
export function renewedTls(previous: TlsMaterial, next: TlsMaterial): TlsMaterial {
  return isDeepStrictEqual(previous, next) ? previous : next;
}

export interface ClusterConfig {
  /** Base URL; a path in it is kept. */
  readonly server: string;
  /** As of the last `credentials.headers`; another object once a certificate was rotated. */
  readonly tls: TlsMaterial;
  readonly credentials: Credentials;
  /** Namespace of the kubeconfig's context, or that of the pod. */
  readonly namespace: string;
  /** HTTP proxy in front of the server. */
  readonly proxyUrl?: string;
}

/** No credentials, as the in-memory server takes. */
export const anonymous: Credentials = {
  headers: async () => ({}),
  refresh: () => false,
};
