/** LaunchSpec → libvirt's domain XML. Pure and deterministic. Devices are chosen for little memory and a fast start. */
import { createHash } from "node:crypto";
import type { LaunchDomain, LaunchSpec } from "../../api/launch-spec.ts";
import { cputuneElement } from "./cputune.ts";
import { bootOrders, diskDevices, diskElements } from "./disks.ts";
import { type Child, type Element, element, render } from "./element.ts";
import { osElement } from "./firmware.ts";
import { interfaceElements, placeCards } from "./interfaces.ts";
import { PciBus, rootPorts } from "./pci.ts";
import {
  graphicsElements,
  inputElements,
  memballoonElement,
  rngElement,
  scsiController,
  serialElements,
  soundElements,
  tpmElement,
  usbController,
  virtioSerialController,
  watchdogElement,
} from "./peripherals.ts";
import type { DomainResources } from "./resources.ts";

export const EMULATOR = "/usr/bin/qemu-system-x86_64";
const MIB = 1024 * 1024;
/** libvirt names files by the domain with more behind it, and Linux takes names of 255 bytes. */
const MAX_DOMAIN_NAME = 200;

/**
 * @throws DomainXmlError a disk or interface of the spec without its resource, or a device that can't be had
 * @throws XmlError a string that XML can't hold
 */
export function domainXml(spec: LaunchSpec, resources: DomainResources): string {
  return render(domainElement(spec, resources));
}

function domainElement(spec: LaunchSpec, resources: DomainResources): Element {
  const { domain } = spec;
  const { cpu } = domain;
  return element(
    "domain",
    { type: domain.accelerator === "kvm" ? "kvm" : "qemu" },
    element("name", {}, domainName(spec)),
    element("uuid", {}, domain.uuid),
    // A core dump of qemu must not hold the guest's memory.
    element("memory", { unit: "KiB", dumpCore: "off" }, Math.ceil(domain.memoryBytes / 1024)),
    memoryBackingElement(domain),
    element("vcpu", { placement: "static" }, cpu.sockets * cpu.cores * cpu.threads),
    domain.ioThreads ? element("iothreads", {}, domain.ioThreads) : undefined,
    cputuneElement(domain, resources.pinning),
    sysinfoElement(domain),
    osElement(domain, resources.paths),
    featuresElement(domain),
    cpuElement(domain),
    clockElement(domain),
    element("on_poweroff", {}, "destroy"),
    element("on_reboot", {}, "restart"),
    element("on_crash", {}, "destroy"),
    // A guest that suspends to memory could only be woken by a device that it doesn't have.
    element(
      "pm",
      {},
      element("suspend-to-mem", { enabled: "no" }),
      element("suspend-to-disk", { enabled: "no" }),
    ),
    devicesElement(spec, resources),
  );
}

/** As KubeVirt's: `namespace_name`. A name that is too long ends in what tells it from others that begin like it. */
function domainName({ namespace, name }: LaunchSpec): string {
  const whole = `${namespace}_${name}`;
  if (whole.length <= MAX_DOMAIN_NAME) return whole;
  const hash = createHash("sha256").update(whole).digest("hex").slice(0, 16);
  return `${whole.slice(0, MAX_DOMAIN_NAME - hash.length - 1)}-${hash}`;
}

/** A memfd is huge without a file system of huge pages mounted. qemu takes all pages at its start. */
function memoryBackingElement({ hugepageBytes }: LaunchDomain): Child {
  if (hugepageBytes === undefined) return undefined;
  return element(
    "memoryBacking",
    {},
    element("hugepages", {}, element("page", { size: hugepageBytes / 1024, unit: "KiB" })),
    element("source", { type: "memfd" }),
  );
}

function sysinfoElement(domain: LaunchDomain): Element {
  return element(
    "sysinfo",
    { type: "smbios" },
    element(
      "system",
      {},
      element("entry", { name: "manufacturer" }, "virtpod"),
      element("entry", { name: "product" }, "VirtualMachineInstance"),
      domain.serial === undefined ? undefined : element("entry", { name: "serial" }, domain.serial),
      element("entry", { name: "uuid" }, domain.uuid),
    ),
  );
}

function featuresElement({ accelerator, efi, tcgCacheBytes }: LaunchDomain): Element {
  // Without a limit the cache grows to 1 GiB of the pod's memory.
  const cacheMiB = tcgCacheBytes === undefined ? undefined : Math.max(1, Math.floor(tcgCacheBytes / MIB));
  return element(
    "features",
    {},
    element("acpi"),
    element("apic"),
    element("vmport", { state: "off" }),
    // Only code in system management mode may write the variables that secure boot trusts.
    efi?.secureBoot ? element("smm", { state: "on" }) : undefined,
    accelerator === "tcg" && cacheMiB !== undefined
      ? element("tcg", {}, element("tb-cache", { unit: "MiB" }, cacheMiB))
      : undefined,
  );
}

function cpuElement({ accelerator, cpu }: LaunchDomain): Element {
  const { sockets, cores, threads } = cpu;
  const topology = element("topology", { sockets, dies: 1, cores, threads });
  if (accelerator === "tcg") return element("cpu", { mode: "maximum", check: "none" }, topology);
  switch (cpu.model) {
    case "host-model":
      return element("cpu", { mode: "host-model", check: "partial" }, topology);
    case "host-passthrough":
      return element("cpu", { mode: "host-passthrough", check: "none", migratable: "on" }, topology);
    default:
      return element(
        "cpu",
        { mode: "custom", match: "exact", check: "partial" },
        element("model", { fallback: "forbid" }, cpu.model),
        topology,
      );
  }
}

/** Under KVM ticks that a guest missed are not replayed by the PIT, and the HPET only costs. */
function clockElement({ accelerator }: LaunchDomain): Element {
  if (accelerator === "tcg") return element("clock", { offset: "utc" });
  return element(
    "clock",
    { offset: "utc" },
    element("timer", { name: "rtc", tickpolicy: "catchup" }),
    element("timer", { name: "pit", tickpolicy: "delay" }),
    element("timer", { name: "hpet", present: "no" }),
  );
}

function devicesElement(spec: LaunchSpec, resources: DomainResources): Element {
  const { domain } = spec;
  const { inputs = [] } = domain;
  const { paths } = resources;
  const places = placeCards(spec.interfaces);
  const bus = new PciBus(places.slots);
  const orders = bootOrders(spec);
  const uses = (name: string) => spec.disks.some((disk) => disk.bus === name);
  const diskNames = new Set(spec.disks.map(({ name }) => name));
  const disks = diskDevices(spec.disks, resources.disks);
  return element(
    "devices",
    {},
    element("emulator", {}, paths.emulator ?? EMULATOR),
    ...rootPorts(places.rootPortCount),
    usbController(uses("usb") || inputs.some((input) => input.bus === "usb"), bus),
    scsiController(uses("scsi"), bus),
    virtioSerialController(bus),
    ...interfaceElements(spec.interfaces, resources.interfaces, { places, bus, orders, diskNames }),
    ...diskElements(disks, { bus, orders }),
    ...serialElements(domain, paths),
    element(
      "channel",
      { type: "unix" },
      element("source", { mode: "bind", path: paths.agentSocket }),
      element("target", { type: "virtio", name: "org.qemu.guest_agent.0" }),
    ),
    ...graphicsElements(domain, paths),
    ...soundElements(domain, bus),
    ...inputElements(inputs, bus),
    memballoonElement(domain, bus),
    rngElement(domain, bus),
    watchdogElement(domain, bus),
    tpmElement(domain, paths),
    // Tells libvirt of the guest's kernel panic; an I/O port, no PCI device.
    element("panic", { model: "isa" }),
  );
}
