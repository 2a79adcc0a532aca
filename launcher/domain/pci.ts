/**
 * PCI addresses. NICs get a root port each, so that the first is `enp1s0` in the guest, the name that machine
 * definitions for KubeVirt expect. Everything else is an integrated endpoint of the root complex: a root port costs
 * qemu memory and the guest's start a bus to scan.
 */
import { type Element, element } from "./element.ts";
import { DomainXmlError } from "./resources.ts";

/** Of bus 0: 0 is the host bridge, 1 the video device, 2 and 3 the root ports, 0x1f the chipset's own. */
const FIRST_SLOT = 4;
/** 0x1a to 0x1e are where q35 and libvirt put USB, sound and bridges. */
const LAST_SLOT = 0x19;
const ROOT_PORT_SLOT = 2;
const FUNCTIONS = 8;
const MAX_ROOT_PORTS = 2 * FUNCTIONS;

/** Where the user wants a device. */
export interface PciPlace {
  readonly bus: number;
  readonly slot: number;
}

/** Of `0000:01:00.0`, hexadecimal: domain, bus, slot and function. */
export function parsePciAddress(text: string): PciPlace {
  const [, bus = "", slot = ""] = text.split(/[:.]/);
  return { bus: Number.parseInt(bus, 16), slot: Number.parseInt(slot, 16) };
}

/** Hands out the slots of the root complex (bus 0). */
export class PciBus {
  readonly #taken: ReadonlySet<number>;
  #next = FIRST_SLOT;

  /** @param taken slots that have their device already */
  constructor(taken: ReadonlySet<number> = new Set()) {
    this.#taken = taken;
  }

  /** @throws DomainXmlError `TooManyDevices` */
  address(): Element {
    while (this.#taken.has(this.#next)) this.#next += 1;
    if (this.#next > LAST_SLOT) {
      throw new DomainXmlError(
        "TooManyDevices",
        `more than ${LAST_SLOT - FIRST_SLOT + 1} PCI devices are wanted beside the root ports`,
      );
    }
    const slot = this.#next;
    this.#next += 1;
    return pciAddress(0, slot, 0);
  }
}

/** Controllers of the buses 1 to `count`, one device each. @throws DomainXmlError `TooManyDevices` */
export function rootPorts(count: number): readonly Element[] {
  if (count > MAX_ROOT_PORTS) {
    throw new DomainXmlError(
      "TooManyDevices",
      `${count} PCIe interfaces are wanted, ${MAX_ROOT_PORTS} can be had`,
    );
  }
  return Array.from({ length: count }, (_, i) => {
    const slot = ROOT_PORT_SLOT + Math.floor(i / FUNCTIONS);
    const func = i % FUNCTIONS;
    const multifunction = func === 0 && count > i + 1 ? "on" : undefined;
    return element(
      "controller",
      { type: "pci", index: i + 1, model: "pcie-root-port" },
      pciAddress(0, slot, func, multifunction),
    );
  });
}

export function pciAddress(bus: number, slot: number, func: number, multifunction?: "on"): Element {
  return element("address", {
    type: "pci",
    domain: "0x0000",
    bus: hex(bus),
    slot: hex(slot),
    function: `0x${func}`,
    multifunction,
  });
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, "0")}`;
}
