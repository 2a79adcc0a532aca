/**
 * Who calls the aggregated API: the API server's front proxy vouches for them in headers, and its client
 * certificate vouches for the front proxy. Facts: Kubernetes' "Configure the aggregation layer".
 */
/** Each value of a header by itself, under its name in small letters (`headersDistinct` of Node's requests). */
export type DistinctHeaders = Readonly<Record<string, readonly string[] | undefined>>;

export interface Caller {
  readonly user: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** ConfigMap kube-system/extension-apiserver-authentication, its requestheader part. */
export interface FrontProxyTrust {
  /** PEM bundle that signs the front proxy's client certificate. */
  readonly clientCa: string;
  /** Common names that may speak for callers; empty allows any certificate of that CA. */
  readonly allowedNames: readonly string[];
  readonly usernameHeaders: readonly string[];
  readonly groupHeaders: readonly string[];
  readonly extraHeaderPrefixes: readonly string[];
}

/** Reads the ConfigMap's data. @throws Error when the API server runs without a front proxy CA */
export function parseFrontProxyTrust(data: Readonly<Record<string, string>>): FrontProxyTrust {
  const clientCa = data["requestheader-client-ca-file"];
  if (clientCa === undefined) {
    throw new Error(
      "kube-system/extension-apiserver-authentication has no requestheader-client-ca-file: " +
        "the API server runs without an aggregation layer, so consoles can't be served",
    );
  }
  return {
    clientCa,
    allowedNames: stringList(data["requestheader-allowed-names"]),
    usernameHeaders: stringList(data["requestheader-username-headers"], ["X-Remote-User"]),
    groupHeaders: stringList(data["requestheader-group-headers"], ["X-Remote-Group"]),
    extraHeaderPrefixes: stringList(data["requestheader-extra-headers-prefix"], ["X-Remote-Extra-"]),
  };
}

/** The caller that the front proxy names; undefined when it names none or may not name any. */
export function callerOf(
  trust: FrontProxyTrust,
  certificateCommonName: string | undefined,
  headers: DistinctHeaders,
): Caller | undefined {
  const mayName =
    trust.allowedNames.length === 0 ||
    (certificateCommonName !== undefined && trust.allowedNames.includes(certificateCommonName));
  if (!mayName) return undefined;
  const user = valuesOf(headers, trust.usernameHeaders)[0];
  if (user === undefined || user === "") return undefined;
  const uid = valuesOf(headers, ["X-Remote-Uid"])[0];
  return {
    user,
    groups: valuesOf(headers, trust.groupHeaders),
    extra: extraOf(headers, trust.extraHeaderPrefixes),
    ...(uid === undefined ? {} : { uid }),
  };
}

/**
 * One value a header line. A line is never split: names of users and groups may contain commas, and whoever chose
 * such a name could put a second one, of a group that isn't theirs, behind it.
 */
function valuesOf(headers: DistinctHeaders, names: readonly string[]): string[] {
  return names.flatMap((name) => headers[name.toLowerCase()] ?? []).filter((value) => value !== "");
}

function extraOf(headers: DistinctHeaders, prefixes: readonly string[]): Record<string, readonly string[]> {
  const extra: Record<string, readonly string[]> = {};
  for (const name of Object.keys(headers)) {
    const prefix = prefixes.find((candidate) => name.startsWith(candidate.toLowerCase()));
    if (prefix !== undefined) extra[unescaped(name.slice(prefix.length))] = valuesOf(headers, [name]);
  }
  return extra;
}

/** The front proxy percent-encodes what a header name can't carry, e.g. the "/" in a key; what isn't stays as it is. */
function unescaped(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

function stringList(json: string | undefined, fallback: readonly string[] = []): readonly string[] {
  if (json === undefined || json === "") return fallback;
  const value: unknown = JSON.parse(json);
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : fallback;
}
