/** Wires a launcher pod's network: save, guard, links, sysctls. May be called again at any time. */
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import type { AnnouncedInterface } from "../../api/uplink-protocol.ts";
import {
  changeLinks,
  loadGuard,
  readForwarding,
  readGuard,
  readNetwork,
  readSysctls,
  writeForwarding,
  writeSysctls,
} from "./apply.ts";
import { type Difference, linkDifferences, missingForwarding } from "./difference.ts";
import { type DiscoveredInterface, discoverInterface } from "./discover.ts";
import { NetworkError } from "./errors.ts";
import { namesFor } from "./link-names.ts";
import { type Namespace, openNamespace } from "./namespace.ts";
import type { Observed, ObservedLink } from "./observed.ts";
import type { NetworkPlan, PlannedForwarding } from "./plan/types.ts";
import { type PlannedInput, planNetwork } from "./plan.ts";
import { isLoaded } from "./ruleset.ts";
import { loadState, removeOtherStates, type SavedNetwork, saveState } from "./state.ts";
import type { WireOptions } from "./types.ts";

/** Each round mends what the one before brought to light; a second is rarely needed, a third never. */
const MAX_ROUNDS = 3;

/**
 * Brings the pod's interfaces to taps and tells the launcher's part of it, in the order of the announcement. A
 * fresh pod takes four processes, a wired one three that only read; one more each where the network has pinned a
 * neighbour's MAC. Calls for one pod must not overlap.
 * @throws NetworkError what could not be done, on which pod and interface; a call that failed may be repeated.
 */
export async function wireNetwork(options: WireOptions): Promise<readonly InterfaceAttachment[]> {
  const { podUid, signal } = options;
  validateAll(options);
  await using namespace = await openNamespace(options.netns, options.hostNetns, podUid);
  const observed = await readNetwork(namespace, signal);
  const saved = await recall(options, namespace, observed);
  const plan = planNetwork(podUid, await remember(options, namespace, observed, saved));
  if (saved === undefined) await applyFresh(namespace, plan, observed, signal);
  else await mend(namespace, plan, observed, podUid, signal);
  return plan.interfaces.map(({ attachment }) => attachment);
}

/** Differences between a pod's network and its plan, as sentences; none for a pod that is wired. */
export async function observeNetwork(options: WireOptions): Promise<readonly string[]> {
  await using namespace = await openNamespace(options.netns, options.hostNetns, options.podUid);
  const observed = await readNetwork(namespace, options.signal);
  const plan = await recallPlan(options, namespace, observed);
  if (plan === undefined) return [`pod ${options.podUid}: was never wired`];
  return differencesFrom(plan, namespace, observed, options.signal);
}

/** What a pod was wired by; undefined for one that never was. */
export async function recallPlan(
  options: WireOptions,
  namespace: Namespace,
  observed: Observed,
): Promise<NetworkPlan | undefined> {
  const saved = await recall(options, namespace, observed);
  return saved && planNetwork(options.podUid, inputs(options, observed, saved));
}

/** As sentences. */
export async function differencesFrom(
  plan: NetworkPlan,
  namespace: Namespace,
  observed: Observed,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  return sentences(await surveyNetwork(namespace, plan, observed, signal));
}

/** Forgets all pods but those that are kept; the networks of pods that are gone went with their namespaces. */
export async function forgetOtherNetworks(
  isKept: (podUid: string) => boolean,
  stateDirectory: string,
): Promise<void> {
  await removeOtherStates(stateDirectory, isKept);
}

const INTERFACE_NAME = /^[A-Za-z][A-Za-z0-9._-]*$/;
/** IFNAMSIZ, without the terminating NUL. */
const MAX_LINK_NAME = 15;
const UNICAST_MAC = /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i;
const MAX_QUEUES = 256;
const MAX_PORT = 65_535;

function validateAll({ podUid, interfaces }: WireOptions): void {
  const names = new Set<string>();
  for (const announced of interfaces) {
    validate(podUid, announced);
    if (names.has(announced.podInterface)) {
      throw new NetworkError(
        "InvalidInterface",
        `pod ${podUid}, interface ${announced.podInterface}: is announced for two of the guest's interfaces`,
      );
    }
    names.add(announced.podInterface);
  }
}

/** Nothing of an announcement becomes part of a command unchecked. */
function validate(podUid: string, announced: AnnouncedInterface): void {
  const { podInterface, macAddress, queues } = announced;
  const refuse = (reason: string): never => {
    throw new NetworkError("InvalidInterface", `pod ${podUid}, interface ${podInterface}: ${reason}`);
  };
  const links = Object.values(namesFor(podInterface));
  if (!INTERFACE_NAME.test(podInterface) || links.some(({ length }) => length > MAX_LINK_NAME)) {
    refuse("must have a name of at most 11 letters, digits, dots and dashes");
  }
  if (podInterface === "lo" || /^tap\d+$/.test(podInterface))
    refuse("is not an interface to the pod network");
  if (macAddress !== undefined && !UNICAST_MAC.test(macAddress)) {
    refuse(`${macAddress} is not a unicast MAC address`);
  }
  if (!Number.isInteger(queues) || queues < 1 || queues > MAX_QUEUES) {
    refuse(`the number of queues must be from 1 to ${MAX_QUEUES}, not ${queues}`);
  }
  if (announced.binding !== "masquerade") return;
  // Its CIDR becomes numbers before it becomes anything else (plan/masquerade.ts).
  for (const { protocol, port } of announced.ports) {
    if (!["TCP", "UDP"].includes(protocol) || !Number.isInteger(port) || port < 1 || port > MAX_PORT) {
      refuse(`${protocol} ${port} is no port that could be forwarded`);
    }
  }
}

/**
 * What was saved for this very namespace. A kubelet may make a new sandbox for the same pod (after a reboot), in which
 * the record is of another network; inode numbers are used again, so the links are looked at too.
 */
async function recall(
  options: WireOptions,
  namespace: Namespace,
  observed: Observed,
): Promise<SavedNetwork | undefined> {
  const saved = await loadState(options.stateDirectory, options.podUid);
  if (saved === undefined || saved.namespace !== String(namespace.inode)) return undefined;
  const plan = planNetwork(options.podUid, inputs(options, observed, saved));
  const isSame = plan.interfaces.every(({ podLink, uplink, attachment }) => {
    const link = observed.links.find(({ index }) => index === podLink);
    if (link === undefined) return false;
    // Masquerade leaves the link as it was, but routers may have given it further addresses since.
    const isMade = uplink === undefined && observed.links.some(({ name }) => name === attachment.bridge.name);
    return isMade || link.macAddress === uplink?.macAddress || isUntouched(link, attachment.podInterface);
  });
  return isSame ? saved : undefined;
}

function isUntouched(link: ObservedLink, before: InterfaceAttachment["podInterface"]): boolean {
  if (link.macAddress !== before.macAddress) return false;
  const addresses = link.addresses.filter(({ isGlobal }) => isGlobal);
  return addresses.every(({ cidr }) => before.addresses.includes(cidr));
}

/** Saves what an interface was before its first change. */
async function remember(
  options: WireOptions,
  namespace: Namespace,
  observed: Observed,
  saved: SavedNetwork | undefined,
): Promise<readonly PlannedInput[]> {
  const found = inputs(options, observed, saved);
  const isNew = found.some(({ discovered }) => saved?.interfaces.includes(discovered) !== true);
  if (isNew) {
    const interfaces = found.map(({ discovered }) => discovered);
    const state: SavedNetwork = { version: 1, namespace: String(namespace.inode), interfaces };
    await saveState(options.stateDirectory, options.podUid, state);
  }
  return found;
}

function inputs(
  { podUid, interfaces }: WireOptions,
  observed: Observed,
  saved: SavedNetwork | undefined,
): readonly PlannedInput[] {
  return interfaces.map((announced) => {
    const known: DiscoveredInterface | undefined = saved?.interfaces.find(
      ({ podInterface }) => podInterface.name === announced.podInterface,
    );
    const { podInterface, binding } = announced;
    return { announced, discovered: known ?? discoverInterface(observed, podUid, podInterface, binding) };
  });
}

/** The guard stands before any link is touched, so the guest's first frame already meets it. */
async function applyFresh(
  namespace: Namespace,
  plan: NetworkPlan,
  observed: Observed,
  signal: AbortSignal | undefined,
): Promise<void> {
  const differences = plan.interfaces.flatMap((planned) => linkDifferences(observed, planned));
  await loadFreshGuard(namespace, plan, signal);
  await changeLinks(namespace, commandsOf(differences), signal);
  const forwarding = plan.interfaces.flatMap((planned) => planned.forwarding);
  if (forwarding.length > 0) await writeForwarding(namespace, forwarding, signal);
  await writeSysctls(namespace, plan.sysctls, signal);
}

async function loadFreshGuard(
  namespace: Namespace,
  { guard }: NetworkPlan,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await loadGuard(namespace, guard.creation, signal);
  } catch (error) {
    if (!(error instanceof NetworkError)) throw error;
    // Something of the kind is there after all, whoever loaded it.
    await loadGuard(namespace, guard.text, signal);
  }
}

async function mend(
  namespace: Namespace,
  plan: NetworkPlan,
  observed: Observed,
  podUid: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  let survey = await surveyNetwork(namespace, plan, observed, signal);
  for (let round = 0; sentences(survey).length > 0; round++) {
    if (round === MAX_ROUNDS) {
      throw new NetworkError(
        "NotConverged",
        `pod ${podUid}: its network is not as planned: ${sentences(survey).join("; ")}`,
      );
    }
    if (survey.guard.length > 0) await loadGuard(namespace, plan.guard.text, signal);
    if (survey.links.length > 0) await changeLinks(namespace, commandsOf(survey.links), signal);
    if (survey.forwarding.length > 0) await writeForwarding(namespace, survey.forwarding, signal);
    if (survey.links.length > 0 || survey.sysctls.length > 0) {
      await writeSysctls(namespace, plan.sysctls, signal);
    }
    survey = await surveyNetwork(namespace, plan, await readNetwork(namespace, signal), signal);
  }
}

interface Survey {
  readonly links: readonly Difference[];
  readonly forwarding: readonly PlannedForwarding[];
  readonly guard: readonly string[];
  readonly sysctls: readonly string[];
}

async function surveyNetwork(
  namespace: Namespace,
  plan: NetworkPlan,
  observed: Observed,
  signal: AbortSignal | undefined,
): Promise<Survey> {
  const forwarding = plan.interfaces.flatMap((planned) => planned.forwarding);
  const [rules, sysctls, present] = await Promise.all([
    readGuard(namespace, signal),
    readSysctls(namespace, plan.sysctls, signal),
    forwarding.length > 0 ? readForwarding(namespace, signal) : [],
  ]);
  return {
    links: plan.interfaces.flatMap((planned) => linkDifferences(observed, planned)),
    forwarding: missingForwarding(forwarding, present),
    guard: isLoaded(plan.guard, rules) ? [] : ["the guard's rules are not those planned"],
    sysctls: plan.sysctls
      .filter(({ path, value, optional }) => (sysctls.get(path) ?? (optional ? value : undefined)) !== value)
      .map(({ path, value }) => `${path}: is not ${value}`),
  };
}

function sentences(survey: Survey): readonly string[] {
  const unreached = survey.forwarding.map(
    ({ macAddress, port }) => `${port}: ${macAddress} is not known behind it`,
  );
  return [...survey.guard, ...survey.links.map(({ what }) => what), ...unreached, ...survey.sysctls];
}

function commandsOf(differences: readonly Difference[]): readonly string[] {
  return differences.flatMap(({ commands }) => commands);
}
