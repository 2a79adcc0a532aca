/** A guest on a second network. The cluster has no Multus: the test does its part, a link and an annotation. */
import assert from "node:assert/strict";
import { basename } from "node:path";
import { after, before, describe, it } from "node:test";
import { mergePatch } from "../../kube/request.ts";
import { PODS, type Pod } from "../../kube/resources.ts";
import { VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { launcherPods, until, untilLogged } from "../harness/cluster.ts";
import { capture } from "../harness/command.ts";
import { condition, Guests } from "../harness/guest.ts";
import { tracesOf } from "../harness/node.ts";

const STATUS_MS = 60_000;
/** Until its network is attached; which of these it is depends on how fast the kubelet is. */
const HAS_POD = /^Schedul(ing|ed)$/;
const NETWORKS = "k8s.v1.cni.cncf.io/networks";
const STATUS = "k8s.v1.cni.cncf.io/network-status";
const HOST_LINK = "vp-second";
const NODE_ADDRESS = "10.77.0.1";
const GUEST_ADDRESS = "10.77.0.2";

const CARDS = [
  { name: "default", masquerade: {} },
  { name: "storage", bridge: {}, pciAddress: "0000:03:00.0", acpiIndex: 7 },
  { name: "spare", bridge: {}, state: "absent" as const },
];
const NETWORKS_OF_GUEST = [
  { name: "default", pod: {} },
  { name: "storage", multus: { networkName: "infra/vlan-7" } },
  { name: "spare", multus: { networkName: "infra/vlan-8" } },
];

interface AskedNetwork {
  readonly name: string;
  readonly namespace: string;
  readonly interface: string;
  readonly mac: string;
}

const inNode = (command: string) => capture("./cluster/enter", command.split(" "));

describe("a guest on a second network", () => {
  let guests: Guests;
  before(async () => {
    guests = await Guests.open("secondary");
  });
  after(() => guests.close());

  const create = (name: string) =>
    guests.create(name, {
      spec: { networks: NETWORKS_OF_GUEST },
      domain: { devices: { interfaces: CARDS } },
    });

  /** The launcher's pod once it runs: it waits for its network then. */
  async function running(name: string): Promise<Pod> {
    await guests.untilVmi(name, "a pod", STATUS_MS, ({ status }) => HAS_POD.test(status?.phase ?? ""));
    const [pod] = await launcherPods(guests.client, guests.namespace, name);
    assert.ok(pod);
    const seen = await until(guests.client, PODS, {
      namespace: guests.namespace,
      name: pod.metadata.name,
      what: "a running launcher",
      timeoutMs: STATUS_MS,
      when: (object) => object?.status?.phase === "Running",
    });
    assert.ok(seen);
    return seen;
  }

  /** What Multus does when the pod's sandbox is made: a link of that name, and word of it. */
  async function attach(pod: Pod, asked: AskedNetwork): Promise<void> {
    const namespace = basename(tracesOf(pod).namespace);
    const inPod = (command: string) => inNode(`ip -n ${namespace} ${command}`);
    const name = `${asked.namespace}/${asked.name}`;
    inPod(`link add name ${asked.interface} address ${asked.mac} type veth peer name ${HOST_LINK}`);
    inPod(`link set dev ${HOST_LINK} netns 1`);
    inNode(`ip address add ${NODE_ADDRESS}/24 dev ${HOST_LINK}`);
    inNode(`ip link set dev ${HOST_LINK} up`);
    inPod(`address add ${GUEST_ADDRESS}/24 dev ${asked.interface}`);
    inPod(`link set dev ${asked.interface} up`);
    const status = [
      { name: "cbr0", interface: "eth0", default: true },
      { name, interface: asked.interface, ips: [GUEST_ADDRESS], mac: asked.mac },
    ];
    const annotations = { [STATUS]: JSON.stringify(status) };
    await guests.resource(PODS).patch(pod.metadata.name, mergePatch({ metadata: { annotations } }));
  }

  it("asks for it, is started once it is told of, and is reached there beside the pod's network", async () => {
    await create("two");
    const pod = await running("two");
    const networks = JSON.parse(pod.metadata.annotations?.[NETWORKS] ?? "[]") as AskedNetwork[];
    assert.deepEqual(
      networks.map(({ namespace, name }) => `${namespace}/${name}`),
      ["infra/vlan-7"],
      "what is absent is not asked for",
    );
    const [asked] = networks;
    assert.ok(asked);
    try {
      await attach(pod, asked);
      await guests.answering("two");
      const where = { namespace: guests.namespace, name: pod.metadata.name };
      for (const address of ["10.0.2.2", GUEST_ADDRESS]) {
        await untilLogged(guests.client, where, new RegExp(` lease ip=${address} `), STATUS_MS);
      }
      const { status } = await guests.untilVmi("two", "two interfaces", STATUS_MS, (vmi) => {
        return vmi.status?.interfaces?.length === 2;
      });
      const second = status?.interfaces?.find(({ name }) => name === "storage");
      assert.deepEqual(
        [second?.ipAddress, second?.mac, second?.podInterfaceName],
        [GUEST_ADDRESS, asked.mac, asked.interface],
      );
      await guests.type("two", "ls /sys/bus/pci/devices/0000:03:00.0/virtio*", /net/);
      await guests.type("two", "cat /sys/bus/pci/devices/0000:03:00.0/acpi_index", /7\r?\n/);
      await guests.type("two", `ping -c 1 -W 10 ${NODE_ADDRESS}`, /1 packets received/);
      assert.match(inNode(`busybox wget -qO- http://${GUEST_ADDRESS}/`), /"hostname":"two"/);
    } finally {
      await guests.remove("two");
    }
  });

  it("says what is missing where nobody attaches it, and ends instead of starting without", async () => {
    await create("lonely");
    const vmi = await guests.untilVmi("lonely", "a condition", STATUS_MS, (seen) => {
      return condition(seen, "Synchronized")?.reason === "NetworkNotAttached";
    });
    assert.match(condition(vmi, "Synchronized")?.message ?? "", /storage \(infra\/vlan-7\): is Multus/);
    await guests.resource(VIRTUAL_MACHINES).delete("lonely");
  });
});
