/** Lists of CPUs as the kernel writes them (cpuset(7), List format): `0-3,8`. */

/** NR_CPUS of the largest kernels. */
const MAX_CPUS = 8_192;

/** undefined for an empty one. */
export function parseCpuList(text: string): ReadonlySet<number> | undefined {
  const cpus = new Set<number>();
  for (const [, first = "", last = first] of text.matchAll(/(\d+)(?:-(\d+))?/g)) {
    for (let cpu = Number(first); cpu <= Number(last) && cpus.size < MAX_CPUS; cpu++) cpus.add(cpu);
  }
  return cpus.size === 0 ? undefined : cpus;
}
