/** What the guest starts from: SeaBIOS, OVMF, or a kernel that qemu loads itself. */
import type { LaunchDomain, LaunchEfi } from "../../api/launch-spec.ts";
import { type Child, type Element, element } from "./element.ts";
import { type DomainPaths, DomainXmlError } from "./resources.ts";

/** Debian's builds of OVMF: code, and its variables as they are before a first start. */
const OVMF = {
  plain: { loader: "/usr/share/OVMF/OVMF_CODE_4M.fd", template: "/usr/share/OVMF/OVMF_VARS_4M.fd" },
  /** Its variables hold the keys that boot loaders are signed with. */
  secureBoot: {
    loader: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
    template: "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
  },
} as const;

/** @throws DomainXmlError `BootUnsupported` */
export function osElement(domain: LaunchDomain, { nvram }: DomainPaths): Element {
  const { biosSerial, efi, kernelBoot, machineType } = domain;
  if (efi?.secureBoot && kernelBoot?.kernelPath !== undefined) {
    // OVMF falls back to a loader that checks nothing (seen with 2025.02).
    throw new DomainXmlError(
      "BootUnsupported",
      "secure boot does not check a kernel of kernelBoot: boot from a disk, or without secure boot",
    );
  }
  return element(
    "os",
    {},
    element("type", { arch: "x86_64", machine: machineType }, "hvm"),
    ...(efi === undefined ? [] : efiElements(efi, nvram)),
    textElement("kernel", kernelBoot?.kernelPath),
    textElement("initrd", kernelBoot?.initrdPath),
    textElement("cmdline", kernelBoot?.kernelArgs),
    biosSerial ? element("bios", { useserial: "yes" }) : undefined,
    element("smbios", { mode: "sysinfo" }),
  );
}

/** libvirt copies the template to the guest's own variables, which last as long as the pod. */
function efiElements({ secureBoot }: LaunchEfi, nvram: string): readonly Element[] {
  const { loader, template } = secureBoot ? OVMF.secureBoot : OVMF.plain;
  return [
    element("loader", { readonly: "yes", secure: secureBoot ? "yes" : "no", type: "pflash" }, loader),
    element("nvram", { template }, nvram),
  ];
}

function textElement(name: string, text: string | undefined): Child {
  return text === undefined ? undefined : element(name, {}, text);
}
