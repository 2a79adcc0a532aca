import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DEFAULT_BURST_STRATEGY } from "../../api/cpu-burst.ts";
import type { Interface } from "../../api/interfaces.ts";
import type { Network } from "../../api/networks.ts";
import type { AnnouncedInterface } from "../../api/uplink-protocol.ts";
import { announcedLauncher } from "./announcement.ts";
import { instance } from "./instance.fixture.ts";
import type { PodNetwork } from "./multus.ts";
import { PENDING_POD } from "./pod-facts.fixture.ts";

type Metadata = Parameters<typeof instance>[1];

function announced(
  interfaces: readonly Interface[],
  networks: readonly Network[],
  { metadata = {}, told }: { readonly metadata?: Metadata; readonly told?: readonly PodNetwork[] } = {},
): readonly AnnouncedInterface[] | undefined {
  const vmi = instance({ domain: { devices: { interfaces } }, networks }, metadata);
  const pod = told === undefined ? PENDING_POD : { ...PENDING_POD, networks: told };
  return announcedLauncher(vmi, pod, DEFAULT_BURST_STRATEGY)?.interfaces;
}

function only(
  iface: Omit<Interface, "name">,
  network: Omit<Network, "name"> = { pod: {} },
  metadata: Metadata = {},
): AnnouncedInterface {
  const [first] = announced([{ name: "n", ...iface }], [{ name: "n", ...network }], { metadata }) ?? [];
  assert.ok(first);
  return first;
}

describe("the announcement of a launcher", () => {
  it("writes a MAC address as the kernel does, whichever way the API took it", () => {
    for (const macAddress of ["02-00-00-00-0A-01", "02:00:00:00:0A:01", "02:00-00:00:0a:01"]) {
      assert.deepEqual(only({ macAddress }), {
        name: "n",
        binding: "bridge",
        podInterface: "eth0",
        queues: 1,
        macAddress: "02:00:00:00:0a:01",
      });
    }
  });

  it("has a MAC that stays the VM's behind masquerade, and the pod's own on the bridge", () => {
    const owner = { apiVersion: "kubevirt.io/v1", kind: "VirtualMachine", name: "tiny", controller: true };
    const macOf = (iface: Omit<Interface, "name">, uid: string, vm: string) =>
      only(iface, { pod: {} }, { uid, ownerReferences: [{ ...owner, uid: vm }] }).macAddress;
    assert.equal(macOf({ bridge: {} }, "a", "vm-1"), undefined);
    const mac = macOf({ masquerade: {} }, "a", "vm-1");
    assert.match(mac ?? "", /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
    assert.equal(macOf({ masquerade: {} }, "b", "vm-1"), mac, "another incarnation");
    assert.notEqual(macOf({ masquerade: {} }, "a", "vm-2"), mac, "another VM");
  });

  it("has KubeVirt's subnet behind masquerade unless another is named, and the ports that are listed", () => {
    const ports = [
      { name: "http", port: 80 },
      { port: 53, protocol: "UDP" as const },
    ];
    const { macAddress: _, ...rest } = only({ masquerade: {}, ports });
    assert.deepEqual(rest, {
      name: "n",
      podInterface: "eth0",
      queues: 1,
      binding: "masquerade",
      vmNetworkCidr: "10.0.2.0/24",
      ports: [
        { protocol: "TCP", port: 80 },
        { protocol: "UDP", port: 53 },
      ],
    });
    const other = only({ masquerade: {} }, { pod: { vmNetworkCIDR: "192.168.7.0/30" } });
    assert.equal(other.binding === "masquerade" && other.vmNetworkCidr, "192.168.7.0/30");
  });

  it("waits until it is told how the pod's further networks are called, and gives those a MAC that stays", () => {
    const interfaces = [{ name: "default" }, { name: "storage" }];
    const networks = [
      { name: "default", pod: {} },
      { name: "storage", multus: { networkName: "vlan-7" } },
    ];
    assert.equal(announced(interfaces, networks), undefined);
    assert.equal(announced(interfaces, networks, { told: [] }), undefined);
    const told = [{ name: "default/vlan-7", interface: "net1" }];
    const both = announced(interfaces, networks, { told });
    assert.deepEqual(
      both?.map(({ name, podInterface, macAddress }) => [name, podInterface, macAddress !== undefined]),
      [
        ["default", "eth0", false],
        ["storage", "net1", true],
      ],
    );
  });
});
