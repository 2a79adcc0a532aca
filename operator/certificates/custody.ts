/**
 * Where the authority is kept: a Secret that only operators read, and a ConfigMap with what agents may trust.
 * Every replica may call this at any time; the API server's conflicts decide who made the authority.
 */

import { OWN_SUBRESOURCES_GROUP, SUBRESOURCES_GROUP } from "../../api/names.ts";
import type { Client } from "../../kube/client.ts";
import { AlreadyExistsError, ConflictError, ignoreNotFound } from "../../kube/errors.ts";
import { mergePatch } from "../../kube/request.ts";
import { API_SERVICES, CONFIG_MAPS, SECRETS, type Secret } from "../../kube/resources.ts";
import { createAuthority, type KeyedCertificate, needsRenewal } from "./authority.ts";

const NAME = "virtpod-ca";
const CERTIFICATE = "tls.crt";
const PRIVATE_KEY = "tls.key";
/** The authority before this one: trusted until every agent has seen the new one. */
const PREVIOUS = "previous.crt";
const BUNDLE = "ca.crt";
const ATTEMPTS = 5;

export interface Custody {
  readonly authority: KeyedCertificate;
  /** PEM of every authority that is to be trusted now. */
  readonly bundle: string;
}

/**
 * The authority as it stands, made or renewed when it is time.
 * @throws KubeError when the Secret can't be read or written
 */
export async function ensureAuthority(client: Client, namespace: string, now: number): Promise<Custody> {
  const secrets = client.resource(SECRETS).namespace(namespace);
  for (let attempt = 1; ; attempt++) {
    const existing = await secrets.get(NAME).catch(ignoreNotFound);
    const held = existing === undefined ? undefined : readAuthority(existing);
    if (held !== undefined && !needsRenewal(held.authority.certificatePem, now)) return held;
    try {
      await writeAuthority(client, namespace, existing, await createAuthority(now));
    } catch (error) {
      const isRace = error instanceof ConflictError || error instanceof AlreadyExistsError;
      if (!isRace || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Publishes the bundle to agents (ConfigMap) and to the API server (APIServices), where it differs. */
export async function publishBundle(client: Client, namespace: string, bundle: string): Promise<void> {
  const configMaps = client.resource(CONFIG_MAPS).namespace(namespace);
  const published = await configMaps.get(NAME).catch(ignoreNotFound);
  if (published === undefined) {
    try {
      await configMaps.create({ metadata: { name: NAME, namespace }, data: { [BUNDLE]: bundle } });
    } catch (error) {
      // The other replica was first, with the same bundle: both read it from the one Secret.
      if (!(error instanceof AlreadyExistsError)) throw error;
    }
  } else if (published.data?.[BUNDLE] !== bundle) {
    await configMaps.patch(NAME, mergePatch({ data: { [BUNDLE]: bundle } }));
  }
  const apiServices = client.resource(API_SERVICES);
  const caBundle = Buffer.from(bundle).toString("base64");
  for (const group of [SUBRESOURCES_GROUP, OWN_SUBRESOURCES_GROUP]) {
    const name = `v1.${group}`;
    const apiService = await apiServices.get(name);
    if (apiService.spec?.caBundle !== caBundle)
      await apiServices.patch(name, mergePatch({ spec: { caBundle } }));
  }
}

function readAuthority(secret: Secret): Custody | undefined {
  const certificatePem = decoded(secret, CERTIFICATE);
  const privateKeyPem = decoded(secret, PRIVATE_KEY);
  if (certificatePem === undefined || privateKeyPem === undefined) return undefined;
  return {
    authority: { certificatePem, privateKeyPem },
    bundle: [certificatePem, decoded(secret, PREVIOUS)].filter((pem) => pem !== undefined).join("\n"),
  };
}

async function writeAuthority(
  client: Client,
  namespace: string,
  existing: Secret | undefined,
  authority: KeyedCertificate,
): Promise<void> {
  const secrets = client.resource(SECRETS).namespace(namespace);
  const previous = existing === undefined ? undefined : decoded(existing, CERTIFICATE);
  const data = {
    [CERTIFICATE]: encoded(authority.certificatePem),
    [PRIVATE_KEY]: encoded(authority.privateKeyPem),
    ...(previous === undefined ? {} : { [PREVIOUS]: encoded(previous) }),
  };
  if (existing === undefined) {
    await secrets.create({ metadata: { name: NAME, namespace }, type: "kubernetes.io/tls", data });
  } else {
    await secrets.update({ ...existing, data });
  }
}

function decoded(secret: Secret, key: string): string | undefined {
  const value = secret.data?.[key];
  return value === undefined ? undefined : Buffer.from(value, "base64").toString("utf8");
}

function encoded(text: string): string {
  return Buffer.from(text).toString("base64");
}
