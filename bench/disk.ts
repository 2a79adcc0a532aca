/**
 * What virtpod costs a guest's disks: their speed beside that of bare qemu, and what they add to a start.
 */
import { makeNamespace, removeNamespace } from "../test/harness/cluster.ts";
import { clearing } from "../test/harness/interrupts.ts";
import type { Bench, BenchContext } from "./bench.ts";
import { type DiskSpeed, measureSpeed } from "./disk-speed.ts";
import { type DiskStarts, measureStarts } from "./disk-start.ts";

export interface DiskReport extends DiskStarts {
  /** Random reads of the VM ÷ those of bare qemu, of the format where that is smallest. */
  readonly randomReadRatio: number;
  /** As randomReadRatio, of sequential writes. */
  readonly sequentialWriteRatio: number;
  readonly perFormat: Readonly<Record<string, DiskSpeed>>;
}

export const disk: Bench<DiskReport> = {
  name: "disk",
  promises: [
    { name: "random read", atLeast: 0.97, unit: "", figure: (report) => report.randomReadRatio },
    { name: "sequential write", atLeast: 0.97, unit: "", figure: (report) => report.sequentialWriteRatio },
    {
      name: "containerDisk, written before the guest runs",
      atMost: 1,
      unit: "MiB",
      figure: (report) => report.containerDiskBytesWritten / 2 ** 20,
    },
    {
      name: "containerDisk, added to the start",
      atMost: 150,
      unit: "ms",
      figure: (report) => report.containerDiskStartAddsMs,
    },
    {
      name: "ten disks, added to the start",
      atMost: 300,
      unit: "ms",
      figure: (report) => report.tenDisksStartAddsMs,
    },
  ],
  run,
};

async function run(context: BenchContext): Promise<DiskReport> {
  const namespace = await makeNamespace(context.client, "bench-disk");
  await using _ = clearing(() => removeNamespace(context.client, namespace));
  const starts = await measureStarts(context, namespace);
  const perFormat = await measureSpeed(context, namespace);
  const speeds = Object.values(perFormat);
  return {
    randomReadRatio: Math.min(...speeds.map(({ randomReadRatio }) => randomReadRatio)),
    sequentialWriteRatio: Math.min(...speeds.map(({ sequentialWriteRatio }) => sequentialWriteRatio)),
    perFormat,
    ...starts,
  };
}
