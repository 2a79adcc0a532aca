/** LaunchSpec → libvirt's domain XML. Pure and deterministic. Devices are chosen for little memory and a fast start. */
import type { LaunchDomain, LaunchEfi, LaunchSpec } from "../../api/launch-spec.ts";
import { bootOrders, diskDevices, diskElements } from "./disks.ts";
import { type Child, type Element, element, render } from "./element.ts";
import { interfaceElements, isPcie } from "./interfaces.ts";
import { PciBus, rootPorts } from "./pci.ts";
import type { DomainPaths, DomainResources } from "./resources.ts";

export const EMULATOR = "/usr/bin/qemu-system-x86_64";
/** Debian's builds of OVMF: code, and its variables as they are before a first start. */
const FIRMWARE = {
  efi: { loader: "/usr/share/OVMF/OVMF_CODE_4M.fd", template: "/usr/share/OVMF/OVMF_VARS_4M.fd" },
  secureBoot: {
    loader: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
    template: "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
  },
} as const;
const MIB = 1024 * 1024;

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
    element("name", {}, `${spec.namespace}_${spec.name}`),
    element("uuid", {}, domain.uuid),
    // A core dump of qemu must not hold the guest's memory.
    element("memory", { unit: "KiB", dumpCore: "off" }, Math.ceil(domain.memoryBytes / 1024)),
    element("vcpu", { placement: "static" }, cpu.sockets * cpu.cores * cpu.threads),
    domain.ioThreads ? element("iothreads", {}, domain.ioThreads) : undefined,
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

function osElement({ efi, machineType, kernelBoot }: LaunchDomain, { nvram }: DomainPaths): Element {
  return element(
    "os",
    {},
    element("type", { arch: "x86_64", machine: machineType }, "hvm"),
    ...(efi === undefined ? [] : efiElements(efi, nvram)),
    textElement("kernel", kernelBoot?.kernelPath),
    textElement("initrd", kernelBoot?.initrdPath),
    textElement("cmdline", kernelBoot?.kernelArgs),
    element("smbios", { mode: "sysinfo" }),
  );
}

/** libvirt copies the template, which holds the keys that signed boot loaders are checked by, to the guest's own file. */
function efiElements({ secureBoot }: LaunchEfi, nvram: string): readonly Element[] {
  const { loader, template } = secureBoot ? FIRMWARE.secureBoot : FIRMWARE.efi;
  return [
    element("loader", { readonly: "yes", secure: secureBoot ? "yes" : "no", type: "pflash" }, loader),
    element("nvram", { template }, nvram),
  ];
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
  const { paths } = resources;
  const bus = new PciBus();
  const ports = rootPorts(spec.interfaces.filter(({ model }) => isPcie(model)).length);
  const orders = bootOrders(spec);
  const uses = (name: string) => spec.disks.some((disk) => disk.bus === name);
  const diskNames = new Set(spec.disks.map(({ name }) => name));
  const disks = diskDevices(spec.disks, resources.disks);
  return element(
    "devices",
    {},
    element("emulator", {}, paths.emulator ?? EMULATOR),
    ...ports.map(({ controller }) => controller),
    usbController(uses("usb"), bus),
    uses("scsi") ? virtioController("scsi", bus) : undefined,
    virtioController("virtio-serial", bus),
    ...interfaceElements(spec.interfaces, resources.interfaces, { ports, bus, orders, diskNames }),
    ...diskElements(disks, { bus, orders }),
    ...serialElements(domain, paths),
    element(
      "channel",
      { type: "unix" },
      element("source", { mode: "bind", path: paths.agentSocket }),
      element("target", { type: "virtio", name: "org.qemu.guest_agent.0" }),
    ),
    ...graphicsElements(domain, paths),
    memballoonElement(domain, bus),
    domain.rng ? rngElement(bus) : undefined,
    // Tells libvirt of the guest's kernel panic; an I/O port, no PCI device.
    element("panic", { model: "isa" }),
  );
}

function usbController(used: boolean, bus: PciBus): Element {
  if (!used) return element("controller", { type: "usb", index: 0, model: "none" });
  return element("controller", { type: "usb", index: 0, model: "qemu-xhci" }, bus.address());
}

function virtioController(type: "scsi" | "virtio-serial", bus: PciBus): Element {
  return element("controller", { type, index: 0, model: "virtio-non-transitional" }, bus.address());
}

/** The launcher is the socket's one client; a log file of libvirt's would only fill the pod's memory. */
function serialElements({ serialConsole }: LaunchDomain, { serialSocket }: DomainPaths): readonly Child[] {
  if (!serialConsole) return [];
  return [
    element(
      "serial",
      { type: "unix" },
      element("source", { mode: "bind", path: serialSocket }),
      element("target", { type: "isa-serial", port: 0 }),
    ),
  ];
}

function graphicsElements({ graphics }: LaunchDomain, { vncSocket }: DomainPaths): readonly Child[] {
  if (!graphics) return [];
  return [
    element("graphics", { type: "vnc" }, element("listen", { type: "socket", socket: vncSocket })),
    element("audio", { id: 1, type: "none" }),
    element("video", {}, element("model", { type: "vga", vram: 16_384, heads: 1, primary: "yes" })),
  ];
}

function memballoonElement({ memBalloon }: LaunchDomain, bus: PciBus): Element {
  if (!memBalloon) return element("memballoon", { model: "none" });
  // The guest gives back what it freed, without being asked.
  const attributes = { model: "virtio-non-transitional", freePageReporting: "on" };
  return element("memballoon", attributes, bus.address());
}

function rngElement(bus: PciBus): Element {
  return element(
    "rng",
    { model: "virtio-non-transitional" },
    element("backend", { model: "random" }, "/dev/urandom"),
    bus.address(),
  );
}

function textElement(name: string, text: string | undefined): Child {
  return text === undefined ? undefined : element(name, {}, text);
}
