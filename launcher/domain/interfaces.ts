/** Interfaces of the domain: each on a tap that the agent made for this user. */
import type { InterfaceModel, LaunchInterface } from "../../api/launch-spec.ts";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import type { BootOrders } from "./disks.ts";
import { type Element, element } from "./element.ts";
import { type PciBus, type PciPlace, parsePciAddress, pciAddress } from "./pci.ts";
import { DomainXmlError } from "./resources.ts";

/** e1000 and rtl8139 are conventional PCI devices: libvirt refuses them behind a PCIe root port. */
function isPcie(model: InterfaceModel): boolean {
  return model === "virtio" || model === "e1000e";
}

/** Which PCI addresses the cards take; those without a place of their own get one on the root complex. */
export interface CardPlaces {
  readonly byName: ReadonlyMap<string, PciPlace>;
  readonly rootPortCount: number;
  /** Slots of the root complex. */
  readonly slots: ReadonlySet<number>;
}

/** As the spec says, and the PCIe cards that it says nothing of behind the first root ports that are free, in order. */
export function placeCards(interfaces: readonly LaunchInterface[]): CardPlaces {
  const byName = new Map(
    interfaces.flatMap(({ name, pciAddress }) =>
      pciAddress === undefined ? [] : [[name, parsePciAddress(pciAddress)] as const],
    ),
  );
  const buses = new Set([...byName.values()].map(({ bus }) => bus));
  for (const { name, model } of interfaces) {
    if (byName.has(name) || !isPcie(model)) continue;
    let bus = 1;
    while (buses.has(bus)) bus += 1;
    buses.add(bus);
    byName.set(name, { bus, slot: 0 });
  }
  const integrated = [...byName.values()].filter(({ bus }) => bus === 0);
  return {
    byName,
    rootPortCount: Math.max(0, ...buses),
    slots: new Set(integrated.map(({ slot }) => slot)),
  };
}

/** @throws DomainXmlError `InterfaceNotAttached`, `TooManyDevices` */
export function interfaceElements(
  interfaces: readonly LaunchInterface[],
  attachments: readonly InterfaceAttachment[],
  among: {
    readonly places: CardPlaces;
    readonly bus: PciBus;
    readonly orders: BootOrders;
    readonly diskNames: ReadonlySet<string>;
  },
): readonly Element[] {
  return interfaces.map((iface) => {
    const attachment = attachments.find(({ name }) => name === iface.name);
    if (attachment === undefined) {
      throw new DomainXmlError("InterfaceNotAttached", `interface ${iface.name}: the agent attached none`);
    }
    const place = among.places.byName.get(iface.name);
    return interfaceElement(iface, attachment, {
      alias: interfaceAlias(iface.name, among.diskNames),
      bootOrder: among.orders.get(`interface/${iface.name}`),
      address: place === undefined ? among.bus.address() : pciAddress(place.bus, place.slot, 0),
    });
  });
}

/** Aliases are unique in a domain, names only among disks and among interfaces; no name has an underscore. */
function interfaceAlias(name: string, diskNames: ReadonlySet<string>): string {
  return diskNames.has(name) ? `ua-${name}_interface` : `ua-${name}`;
}

function interfaceElement(
  { model, linkState, acpiIndex }: LaunchInterface,
  { guest, tap, podInterface }: InterfaceAttachment,
  own: {
    readonly alias: string;
    readonly bootOrder: number | undefined;
    readonly address: Element;
  },
): Element {
  const { alias, bootOrder, address } = own;
  return element(
    "interface",
    { type: "ethernet" },
    element("mac", { address: guest.macAddress }),
    // managed=no: libvirt opens what the agent made instead of making one, which takes privilege.
    element("target", { dev: tap.name, managed: "no" }),
    element("model", { type: model === "virtio" ? "virtio-non-transitional" : model }),
    // Without a name libvirt takes vhost-net where it can be had. Queues must match how the tap was made.
    tap.queues > 1 && model === "virtio" ? element("driver", { queues: tap.queues }) : undefined,
    element("mtu", { size: podInterface.mtu }),
    linkState === undefined ? undefined : element("link", { state: linkState }),
    acpiIndex === undefined ? undefined : element("acpi", { index: acpiIndex }),
    // The boot ROM costs memory and start time: only for who boots from the network.
    bootOrder === undefined ? element("rom", { enabled: "no" }) : element("boot", { order: bootOrder }),
    element("alias", { name: alias }),
    address,
  );
}
