/** Devices of the domain beside disks and interfaces. */
import type { LaunchDomain, LaunchInput } from "../../api/launch-spec.ts";
import { type Child, type Element, element } from "./element.ts";
import type { PciBus } from "./pci.ts";
import type { DomainPaths } from "./resources.ts";

export function usbController(used: boolean, bus: PciBus): Element {
  if (!used) return element("controller", { type: "usb", index: 0, model: "none" });
  return element("controller", { type: "usb", index: 0, model: "qemu-xhci" }, bus.address());
}

export function scsiController(used: boolean, bus: PciBus): Element | undefined {
  if (!used) return undefined;
  return element("controller", { type: "scsi", index: 0, model: "virtio-non-transitional" }, bus.address());
}

/**
 * For the guest agent's channel, which takes port 1; port 0 is for a console. Each port has two queues, and qemu's
 * main loop looks at every queue in every turn: libvirt's 31 ports cost a disk 7 % of its random reads.
 */
export function virtioSerialController(bus: PciBus): Element {
  const model = "virtio-non-transitional";
  return element("controller", { type: "virtio-serial", index: 0, model, ports: 2 }, bus.address());
}

/** The launcher is the socket's one client; a log file of libvirt's would only fill the pod's memory. */
export function serialElements(
  { serialConsole }: LaunchDomain,
  { serialSocket }: DomainPaths,
): readonly Child[] {
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

export function graphicsElements(domain: LaunchDomain, { vncSocket }: DomainPaths): readonly Child[] {
  if (!domain.graphics) return [];
  return [
    element("graphics", { type: "vnc" }, element("listen", { type: "socket", socket: vncSocket })),
    element("video", {}, videoModel(domain.video ?? "vga")),
  ];
}

function videoModel(type: NonNullable<LaunchDomain["video"]>): Element {
  const hasMemory = type === "vga" || type === "bochs" || type === "cirrus";
  return element("model", { type, vram: hasMemory ? 16_384 : undefined, heads: 1, primary: "yes" });
}

/** A card without a backend: libvirt would otherwise play to the VNC client, which has no sound. */
export function soundElements({ graphics, sound }: LaunchDomain, bus: PciBus): readonly Child[] {
  if (!graphics && sound === undefined) return [];
  return [
    sound === undefined ? undefined : element("sound", { model: sound }, bus.address()),
    element("audio", { id: 1, type: "none" }),
  ];
}

export function inputElements(inputs: readonly LaunchInput[], bus: PciBus): readonly Element[] {
  return inputs.map((input) =>
    element(
      "input",
      { type: "tablet", bus: input.bus },
      element("alias", { name: `ua-${input.name}_input` }),
      input.bus === "virtio" ? bus.address() : undefined,
    ),
  );
}

export function watchdogElement({ watchdog }: LaunchDomain, bus: PciBus): Child {
  return watchdog === undefined
    ? undefined
    : element("watchdog", { model: "i6300esb", action: watchdog.action }, bus.address());
}

/** KubeVirt's model of a TPM that is not persistent. libvirt would start swtpm only with tools that make certificates. */
export function tpmElement({ tpm }: LaunchDomain, { tpmSocket }: DomainPaths): Child {
  if (tpm === undefined) return undefined;
  const source = element("source", { type: "unix", mode: "connect", path: tpmSocket });
  return element("tpm", { model: "tpm-tis" }, element("backend", { type: "external" }, source));
}

export function memballoonElement({ hugepageBytes, memBalloon }: LaunchDomain, bus: PciBus): Element {
  if (!memBalloon) return element("memballoon", { model: "none" });
  // The guest gives back what it freed, without being asked; huge pages are its own as long as it runs.
  const freePageReporting = hugepageBytes === undefined ? "on" : "off";
  const attributes = { model: "virtio-non-transitional", freePageReporting };
  // KubeVirt's: the guest tells of its memory each 10 s, else it never would.
  return element("memballoon", attributes, element("stats", { period: 10 }), bus.address());
}

export function rngElement({ rng }: LaunchDomain, bus: PciBus): Child {
  if (!rng) return undefined;
  return element(
    "rng",
    { model: "virtio-non-transitional" },
    element("backend", { model: "random" }, "/dev/urandom"),
    bus.address(),
  );
}
