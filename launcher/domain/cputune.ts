/** Threads of the domain on their CPUs. */
import type { LaunchDomain } from "../../api/launch-spec.ts";
import type { CpuPinning } from "../cpu/pinning.ts";
import { type Child, element } from "./element.ts";

/** I/O threads keep to the emulator's CPUs: a disk's work is none of the guest's own time. */
export function cputuneElement({ ioThreads = 0 }: LaunchDomain, pinning: CpuPinning | undefined): Child {
  if (pinning === undefined) return undefined;
  const emulator = pinning.emulator.join(",");
  return element(
    "cputune",
    {},
    ...pinning.vcpus.map((cpuset, vcpu) => element("vcpupin", { vcpu, cpuset })),
    element("emulatorpin", { cpuset: emulator }),
    ...Array.from({ length: ioThreads }, (_, index) =>
      element("iothreadpin", { iothread: index + 1, cpuset: emulator }),
    ),
  );
}
