/**
 * Guests under the rules by which a pod network enforces NetworkPolicies: packets of and for a pod's address, judged
 * where the node forwards them. No policy engine runs here; its rules do, and an ordinary pod beside the guests. Needs
 * root.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { serve, takeLease, until } from "./guest.fixture.ts";
import { announce, announceMasquerade, inside, Node, optionsFor, type Pod } from "./pod.fixture.ts";

const run = promisify(execFile);

/** Listened on everywhere; the policy knows only the first. */
const [ALLOWED, OTHER] = [8080, 9090];
/** Who hears nothing for so long is not let through; far above what a busy machine takes for an answer. */
const SILENCE_S = 3;

interface Place {
  /** Where its programs run: the pod's, or its guest's. */
  readonly netns: string;
  /** The pod's address. */
  readonly address: string;
}

type AddPod = (node: Node, address: string) => Pod;

/** `none`: an ordinary pod. */
const BINDINGS = ["none", "bridge", "masquerade"] as const;
type Binding = (typeof BINDINGS)[number];

/** Three that a policy selects, and two that it doesn't. */
interface Scene {
  readonly selected: Readonly<Record<Binding, Place>>;
  readonly friend: Place;
  readonly stranger: Place;
}

async function scene(node: Node, addPod: AddPod): Promise<Scene> {
  let pods = 0;
  const place = async (binding: Binding): Promise<Place> => {
    const address = `10.244.0.${20 + pods++}`;
    const pod = addPod(node, address);
    if (binding === "none") return { netns: pod.netns, address };
    const interfaces = [binding === "bridge" ? announce() : announceMasquerade()];
    const { guest } = await serve(node, pod, optionsFor(node, pod, { interfaces }));
    takeLease(guest);
    return { netns: guest.netns, address };
  };
  const [none, bridge, masquerade] = [await place("none"), await place("bridge"), await place("masquerade")];
  const [friend, stranger] = [await place("none"), await place("none")];
  for (const { netns } of [none, bridge, masquerade, friend, stranger]) {
    for (const port of [ALLOWED, OTHER]) {
      const server = `busybox nc -ll -p ${port} -e /bin/echo heard`.split(" ");
      node.adopt(spawn("ip", ["netns", "exec", netns, ...server], { stdio: "ignore" }));
      await until(() => isListening(netns, port), `${netns} listens on ${port}`);
    }
  }
  return { selected: { none, bridge, masquerade }, friend, stranger };
}

function isListening(netns: string, port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return inside(netns, "cat /proc/net/tcp /proc/net/tcp6").includes(`:${hex} 0`);
}

async function reaches(from: Place, to: Place, port: number): Promise<boolean> {
  const client = [
    "netns",
    "exec",
    from.netns,
    "busybox",
    "nc",
    "-w",
    String(SILENCE_S),
    to.address,
    String(port),
  ];
  const { stdout } = await run("ip", client).catch(() => ({ stdout: "" }));
  return stdout === "heard\n";
}

const EVERYTHING = [
  "friend in",
  "friend in, other port",
  "stranger in",
  "out to friend",
  "out to friend, other port",
  "out to stranger",
];

/** What gets through to and from the one, by name. */
async function open(one: Place, { friend, stranger }: Scene): Promise<string[]> {
  const tries: readonly (readonly [string, Promise<boolean>])[] = [
    ["friend in", reaches(friend, one, ALLOWED)],
    ["friend in, other port", reaches(friend, one, OTHER)],
    ["stranger in", reaches(stranger, one, ALLOWED)],
    ["out to friend", reaches(one, friend, ALLOWED)],
    ["out to friend, other port", reaches(one, friend, OTHER)],
    ["out to stranger", reaches(one, stranger, ALLOWED)],
  ];
  const through = await Promise.all(tries.map(async ([name, isOpen]) => ((await isOpen) ? [name] : [])));
  return through.flat();
}

/** As engines write a policy with ingress from, and egress to, one pod's one port: by the pods' addresses. */
function enforce(netns: string, { selected, friend }: Scene): void {
  const those = `{ ${Object.values(selected)
    .map(({ address }) => address)
    .join(", ")} }`;
  const rules = [
    "ct state established,related accept",
    `ip daddr ${those} ip saddr ${friend.address} tcp dport ${ALLOWED} accept`,
    `ip daddr ${those} drop`,
    `ip saddr ${those} ip daddr ${friend.address} tcp dport ${ALLOWED} accept`,
    `ip saddr ${those} drop`,
  ];
  inside(netns, "nft add table inet policies");
  inside(netns, "nft add chain inet policies forward { type filter hook forward priority filter ; }");
  for (const rule of rules) inside(netns, `nft add rule inet policies forward ${rule}`);
}

const NETWORKS = {
  // Frames that a bridge passes on meet the rules only through br_netfilter, whoever's they are.
  "on the node's bridge": {
    addPod: (node: Node, address: string) => node.addPod(address),
    needs: "/proc/sys/net/bridge/bridge-nf-call-iptables",
  },
  "that the node routes to": {
    addPod: (node: Node, address: string) => node.addRoutedPod(address),
    needs: "/proc/sys/net",
  },
};

describe("a policy that selects the pods of guests", () => {
  for (const [where, { addPod, needs }] of Object.entries(NETWORKS)) {
    const skip = existsSync(needs) ? false : `this kernel has no ${needs}`;
    test(`holds for both bindings as for an ordinary pod, for pods ${where}`, { skip }, async () => {
      await using node = new Node();
      const all = await scene(node, addPod);
      const openToEach = () => Promise.all(BINDINGS.map((binding) => open(all.selected[binding], all)));
      assert.deepEqual(await openToEach(), [EVERYTHING, EVERYTHING, EVERYTHING]);
      enforce(node.netns, all);
      const allowed = ["friend in", "out to friend"];
      assert.deepEqual(await openToEach(), [allowed, allowed, allowed]);
    });
  }
});
