/** Interfaces of the domain: each on a tap that the agent made for this user. */
import type { InterfaceModel, LaunchInterface } from "../../api/launch-spec.ts";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import type { BootOrders } from "./disks.ts";
import { type Element, element } from "./element.ts";
import type { PciBus, RootPort } from "./pci.ts";
import { DomainXmlError } from "./resources.ts";

/** e1000 and rtl8139 are conventional PCI devices: libvirt refuses them behind a PCIe root port. */
export function isPcie(model: InterfaceModel): boolean {
  return model === "virtio" || model === "e1000e";
}

/** @throws DomainXmlError `InterfaceNotAttached`, `TooManyDevices` */
export function interfaceElements(
  interfaces: readonly LaunchInterface[],
  attachments: readonly InterfaceAttachment[],
  among: {
    readonly ports: readonly RootPort[];
    readonly bus: PciBus;
    readonly orders: BootOrders;
    readonly diskNames: ReadonlySet<string>;
  },
): readonly Element[] {
  const ports = among.ports.values();
  return interfaces.map((iface) => {
    const attachment = attachments.find(({ name }) => name === iface.name);
    if (attachment === undefined) {
      throw new DomainXmlError("InterfaceNotAttached", `interface ${iface.name}: the agent attached none`);
    }
    const address = isPcie(iface.model) ? ports.next().value?.address : among.bus.address();
    return interfaceElement(iface, attachment, {
      alias: interfaceAlias(iface.name, among.diskNames),
      bootOrder: among.orders.get(`interface/${iface.name}`),
      address,
    });
  });
}

/** Aliases are unique in a domain, names only among disks and among interfaces; no name has an underscore. */
function interfaceAlias(name: string, diskNames: ReadonlySet<string>): string {
  return diskNames.has(name) ? `ua-${name}_interface` : `ua-${name}`;
}

function interfaceElement(
  { model }: LaunchInterface,
  { guest, tap, podInterface }: InterfaceAttachment,
  own: {
    readonly alias: string;
    readonly bootOrder: number | undefined;
    readonly address: Element | undefined;
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
    // The boot ROM costs memory and start time: only for who boots from the network.
    bootOrder === undefined ? element("rom", { enabled: "no" }) : element("boot", { order: bootOrder }),
    element("alias", { name: alias }),
    address,
  );
}
