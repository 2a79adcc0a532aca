/** Network interfaces of VMs that are accepted, and bad ones, for validation.cluster.test.ts. */
import { type Change, DOMAIN, type Refused } from "./validation.fixture.ts";

const SPEC = ["spec", "template", "spec"] as const;
const INTERFACE = [...DOMAIN, "devices", "interfaces", 0] as const;
const NETWORK = [...SPEC, "networks", 0] as const;

/** The one interface is changed to this. */
const card = (change: object): Change => [INTERFACE, { name: "n", ...change }];
/** And there is a second one, on this network. */
const second = (network: object, change: object = {}): readonly Change[] => [
  [[...DOMAIN, "devices", "interfaces", 1], { name: "m", ...change }],
  [[...SPEC, "networks", 1], { name: "m", ...network }],
];
const MULTUS = { multus: { networkName: "infra/vlan-7" } };

export const acceptedNetworks: Readonly<Record<string, readonly Change[]>> = {
  masquerade: [card({ masquerade: {}, ports: [{ port: 80 }] })],
  "masquerade with a subnet of one's own": [
    card({ masquerade: {} }),
    [[...NETWORK, "pod"], { vmNetworkCIDR: "192.168.100.0/30" }],
  ],
  "a second network": second(MULTUS, { bridge: {} }),
  "a network in place of the cluster's": [
    [[...NETWORK, "pod"], undefined],
    [[...NETWORK, "multus"], { networkName: "vlan-7", default: true }],
  ],
  "places for cards": [
    card({ pciAddress: "0000:02:00.0", acpiIndex: 1 }),
    ...second(MULTUS, { model: "e1000", pciAddress: "0000:00:0a.0", acpiIndex: 2, state: "down" }),
  ],
};

export const refusedNetworks: readonly Refused[] = [
  [
    "two bindings on one interface",
    [card({ bridge: {}, masquerade: {} })],
    "spec.template.spec.domain.devices.interfaces[0].masquerade",
    /one binding: remove bridge or masquerade/,
  ],
  [
    "masquerade on another network than the pod's",
    second(MULTUS, { masquerade: {} }),
    "spec.template.spec.domain.devices.interfaces",
    /m: masquerade works on the pod network only/,
  ],
  [
    "two networks for the pod's first interface",
    second({ multus: { networkName: "vlan-7", default: true } }),
    "spec.template.spec.networks",
    /only one network/,
  ],
  [
    "a network with two sources",
    [[[...NETWORK, "multus"], { networkName: "vlan-7" }]],
    "spec.template.spec.networks[0].multus",
    /one source: remove pod or multus/,
  ],
  [
    "a network of no name",
    second({ multus: { networkName: "a/b/c" } }),
    "spec.template.spec.networks[1].multus.networkName",
    /should match/,
  ],
  [
    "a subnet without masquerade",
    [[[...NETWORK, "pod", "vmNetworkCIDR"], "10.0.2.0/24"]],
    "spec.template.spec.networks",
    /vmNetworkCIDR belongs to the masquerade binding/,
  ],
  ...["10.0.2.0/31", "10.0.2.0", "fd10::/120", "127.0.0.0/24", "224.0.0.0/8", "10.0.0.0/7", "x"].map(
    (vmNetworkCIDR): Refused => [
      `the guest's subnet ${vmNetworkCIDR}`,
      [card({ masquerade: {} }), [[...NETWORK, "pod"], { vmNetworkCIDR }]],
      "spec.template.spec.networks[0].pod.vmNetworkCIDR",
      /must be an IPv4 subnet/,
    ],
  ),
  [
    "the gateway's MAC address behind masquerade",
    [card({ masquerade: {}, macAddress: "02-00-00-00-00-00" })],
    "spec.template.spec.domain.devices.interfaces[0].macAddress",
    /MAC address of the gateway/,
  ],
  ...["0000:81:01.0", "0000:00:02.0", "0000:00:1f.0", "0000:11:00.0", "0001:01:00.0", "1:0.0"].map(
    (pciAddress): Refused => [
      `a card at ${pciAddress}`,
      [card({ pciAddress })],
      "spec.template.spec.domain.devices.interfaces[0].pciAddress",
      /pciAddress must be/,
    ],
  ),
  [
    "a conventional card behind a root port",
    [card({ model: "rtl8139", pciAddress: "0000:01:00.0" })],
    "spec.template.spec.domain.devices.interfaces[0].pciAddress",
    /has its place on bus 00/,
  ],
  [
    "two cards at one address",
    [card({ pciAddress: "0000:00:0a.0" }), ...second(MULTUS, { pciAddress: "0000:00:0A.0" })],
    "spec.template.spec.domain.devices.interfaces",
    /same pciAddress/,
  ],
  [
    "two cards with one index",
    [card({ acpiIndex: 1 }), ...second(MULTUS, { acpiIndex: 1 })],
    "spec.template.spec.domain.devices.interfaces",
    /same acpiIndex/,
  ],
  [
    "two cards with one MAC address",
    [card({ macAddress: "02:00:00:00:00:0a" }), ...second(MULTUS, { macAddress: "02-00-00-00-00-0A" })],
    "spec.template.spec.domain.devices.interfaces",
    /same macAddress/,
  ],
  [
    "a state that doesn't exist",
    [card({ state: "sideways" })],
    "spec.template.spec.domain.devices.interfaces[0].state",
    /Unsupported value/,
  ],
];
