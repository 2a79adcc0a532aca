/** A guest on the pod network of a real node: it is found at once, it is held to its own address, and who may free it. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { mergePatch } from "../../kube/request.ts";
import { PODS } from "../../kube/resources.ts";
import { formatIpv4, parseIpv4 } from "../../lib/cidr.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { untilLogged } from "../harness/cluster.ts";
import { capture } from "../harness/command.ts";
import { Guests, tiny } from "../harness/guest.ts";

const LAST_HOLDER = "02:de:ad:00:00:01";
/** Other tests take addresses meanwhile. */
const CANDIDATES = 40;
const STATUS_MS = 60_000;
/** A guest's, on a busy machine. The node asks anew for a neighbour that it takes for reachable after 15 s at least. */
const ANSWER_MS = 10_000;
const ANNOTATION = "virtpod.io/unguarded-interfaces";

const onNode = (...command: readonly string[]) => capture("./cluster/enter", command);

/** The next addresses that the node's host-local gives to pods. */
function nextAddresses(): readonly string[] {
  const [file = ""] = onNode("sh", "-c", "ls /var/lib/cni/networks/*/last_reserved_ip.0").split("\n");
  const held = onNode("sh", "-c", `ls ${file.slice(0, file.lastIndexOf("/"))}`).split("\n");
  const last = parseIpv4(onNode("cat", file).trim());
  assert.ok(last !== undefined, "host-local tells which address it gave last");
  return Array.from({ length: CANDIDATES }, (_, i) => formatIpv4(last + 1 + i)).filter(
    (address) => !held.includes(address),
  );
}

/** For ip(8): the node has just talked to the address's last holder. */
function poison(address: string): string {
  return `neigh replace ${address} lladdr ${LAST_HOLDER} nud reachable dev cni0`;
}

/** By way of the node. @throws TimeoutError where it does not know the way */
async function hello(address: string, timeoutMs = ANSWER_MS): Promise<{ readonly hostname: string }> {
  const response = await fetch(`http://${address}/`, { signal: AbortSignal.timeout(timeoutMs) });
  return (await response.json()) as { readonly hostname: string };
}

describe("a guest whose address was another's a moment ago", () => {
  let guests: Guests;
  before(async () => {
    guests = await Guests.open("announced");
  });
  after(() => guests.close());

  it("is reached from its node as soon as it answers, though the node still knew the last holder", async () => {
    const addresses = nextAddresses();
    onNode("sh", "-c", `echo '${addresses.map(poison).join("\n")}' | ip -batch -`);
    await guests.create("heir");
    const { address } = await guests.answering("heir");
    assert.ok(addresses.includes(address), `${address} is among those that were made another's`);
    const vmi = await guests.untilVmi(
      "heir",
      "an interface",
      STATUS_MS,
      ({ status }) => status?.interfaces?.[0] !== undefined,
    );
    const known = onNode("ip", "neighbour", "show", address, "dev", "cni0");
    assert.match(known, new RegExp(vmi.status?.interfaces?.[0]?.mac ?? "none"));
    assert.equal((await hello(address)).hostname, "heir");
    // Such an entry does keep the node from the guest.
    onNode("ip", ...poison(address).split(" "));
    await assert.rejects(hello(address, 1_000), { name: "TimeoutError" });
  });
});

describe("a guest that claims its gateway's address", () => {
  let guests: Guests;
  before(async () => {
    guests = await Guests.open("refused");
  });
  after(() => guests.close());

  it("is told by name in its node's agent's log, and not believed", async () => {
    await guests.create("thief");
    const { pod } = await guests.answering("thief");
    const gateway =
      / inet ([0-9.]+)/.exec(onNode("ip", "-o", "address", "show", "dev", "cni0"))?.[1] ?? "none";
    await guests.type("thief", `ip address add ${gateway}/32 dev eth0`);
    await guests.type("thief", `arping -U -c 2 -I eth0 -s ${gateway} ${gateway}`, /Sent 2 probe/);
    await guests.type("thief", `ip address del ${gateway}/32 dev eth0`);
    const { items } = await guests.client
      .resource(PODS)
      .namespace("virtpod")
      .list({
        labelSelector: "app.kubernetes.io/name=virtpod-agent",
        fieldSelector: `spec.nodeName=${pod.spec.nodeName}`,
      });
    const where = { namespace: "virtpod", name: items[0]?.metadata.name ?? "" };
    const line = new RegExp(
      `"podUid":"${pod.metadata.uid}".*"rule":"foreign-arp".*"sourceAddress":"${gateway}"`,
    );
    await untilLogged(guests.client, where, line, STATUS_MS);
    assert.equal((await hello(pod.status?.podIP ?? "")).hostname, "thief");
  });
});

describe("an interface without the guard", () => {
  let guests: Guests;
  before(async () => {
    guests = await Guests.open("unguarded");
  });
  after(() => guests.close());

  it("is refused by name unless the installation allows it, in a VM's template and in a VMI", async () => {
    const vm = tiny("router");
    const { template } = vm.spec;
    const metadata = { ...template.metadata, annotations: { [ANNOTATION]: "default" } };
    const words = /doesn't allow the annotation virtpod\.io\/unguarded-interfaces.*allowUnguardedInterfaces/s;
    const draft = { ...vm, spec: { ...vm.spec, template: { ...template, metadata } } };
    await assert.rejects(guests.resource(VIRTUAL_MACHINES).create(draft), words);
    const instance = { metadata: { ...metadata, name: "router" }, spec: template.spec };
    await assert.rejects(guests.resource(VIRTUAL_MACHINE_INSTANCES).create(instance), words);
  });

  it("can't be had by changing what runs, or a template that was harmless", async () => {
    await guests.create("guarded", { spec: { nodeSelector: { "virtpod.io/nowhere": "true" } } });
    await guests.untilVmi("guarded", "its instance", STATUS_MS, () => true);
    const annotations = { [ANNOTATION]: "default" };
    await assert.rejects(
      guests.resource(VIRTUAL_MACHINE_INSTANCES).patch("guarded", mergePatch({ metadata: { annotations } })),
      /unguarded-interfaces of a running VirtualMachineInstance can't be changed/,
    );
    await assert.rejects(
      guests
        .resource(VIRTUAL_MACHINES)
        .patch("guarded", mergePatch({ spec: { template: { metadata: { annotations } } } })),
      /doesn't allow the annotation/,
    );
  });
});
