/**
 * Pods with several networks: annotations of the Network Plumbing Working Group's de-facto standard (version 1.3), as
 * Multus and KubeVirt use them; pure.
 */
import { createHash } from "node:crypto";
import type { Network } from "../../api/networks.ts";

/** On the pod: further networks that are asked for, a JSON list. */
export const ANNOTATION_NETWORKS = "k8s.v1.cni.cncf.io/networks";
/** On the pod, by whoever attached its networks: what they have become, a JSON list. */
export const ANNOTATION_NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status";
/** On the pod: what stands for the cluster's default network. Multus's own. */
export const ANNOTATION_DEFAULT_NETWORK = "v1.multus-cni.io/default-network";

/** What every runtime calls the pod's own interface. */
const POD_INTERFACE = "eth0";
/** Of `pod` and the digest's start Linux takes 15 characters; 14 are KubeVirt's choice. */
const DIGEST_CHARACTERS = 11;
/** What Linux takes for the name of a link, and the agent for its commands. */
const LINK_NAME = /^[A-Za-z][A-Za-z0-9._-]{0,14}$/;
/** Nothing of an annotation is kept beyond this. */
const MAX_NETWORKS = 32;

export interface PodNetwork {
  /** `<namespace>/<NetworkAttachmentDefinition>`. */
  readonly name: string;
  /** In the pod. */
  readonly interface: string;
}

/** Whether a network is the pod's first one, on eth0: the cluster's, or what stands for it. */
export function isOwnNetwork({ multus }: Network): boolean {
  return multus === undefined || multus.default === true;
}

/** The pod's interface to a network, as it is asked for: KubeVirt's names. */
export function podInterfaceOf(network: Network): string {
  if (isOwnNetwork(network)) return POD_INTERFACE;
  return `pod${createHash("sha256").update(network.name).digest("hex").slice(0, DIGEST_CHARACTERS)}`;
}

/**
 * The pod's interface to a network, as whoever attached it tells; undefined as long as nobody has.
 * @param namespace of the pod, where a network without one is looked up
 */
export function toldInterfaceOf(
  network: Network,
  told: readonly PodNetwork[],
  namespace: string,
): string | undefined {
  if (isOwnNetwork(network)) return POD_INTERFACE;
  const asked = podInterfaceOf(network);
  if (told.some((one) => one.interface === asked)) return asked;
  return told.find(({ name }) => name === qualified(network, namespace))?.interface;
}

/**
 * The annotations by which a launcher pod asks for its networks.
 * @param macAddresses of the guest's interfaces, by name: networks that pin MACs must know them
 */
export function networkAnnotations(
  networks: readonly Network[],
  macAddresses: ReadonlyMap<string, string | undefined>,
  namespace: string,
): Readonly<Record<string, string>> {
  const secondary = networks.filter((network) => !isOwnNetwork(network));
  const standIn = networks.find(({ multus }) => multus?.default === true);
  const asked = secondary.map((network) => {
    const [ofNamespace, name] = qualified(network, namespace).split("/");
    const mac = macAddresses.get(network.name);
    return {
      name,
      namespace: ofNamespace,
      interface: podInterfaceOf(network),
      ...(mac === undefined ? {} : { mac }),
    };
  });
  return {
    ...(asked.length === 0 ? {} : { [ANNOTATION_NETWORKS]: JSON.stringify(asked) }),
    ...(standIn === undefined ? {} : { [ANNOTATION_DEFAULT_NETWORK]: qualified(standIn, namespace) }),
  };
}

/** What the annotation says of the pod's networks; undefined where it isn't there, or is none. */
export function parseNetworkStatus(annotation: string | undefined): readonly PodNetwork[] | undefined {
  if (annotation === undefined) return undefined;
  try {
    const list: unknown = JSON.parse(annotation);
    return Array.isArray(list) ? list.slice(0, MAX_NETWORKS).flatMap(parsePodNetwork) : undefined;
  } catch {
    return undefined;
  }
}

function parsePodNetwork(value: unknown): readonly PodNetwork[] {
  if (typeof value !== "object" || value === null) return [];
  const { name, interface: link } = value as Readonly<Record<string, unknown>>;
  if (typeof name !== "string" || typeof link !== "string" || !LINK_NAME.test(link)) return [];
  return [{ name, interface: link }];
}

function qualified({ multus }: Network, namespace: string): string {
  const name = multus?.networkName ?? "";
  return name.includes("/") ? name : `${namespace}/${name}`;
}
