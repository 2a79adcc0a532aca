/** The small test guest under a whole launcher: its LaunchSpec, its container, and its shell. */
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { TestContext } from "node:test";
import type { LaunchSpec } from "../../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import type { Machine } from "../../images/guest-tiny/boot.ts";
import type { Http2Client } from "../../transport/client.ts";
import { Container, type ContainerOptions } from "./container.ts";

/** The shell is started last: the power button is watched by then. */
export const BOOTED = /:~# /;
export const GUEST_DEADLINE_MS = 30_000;

export type SpecChanges = Partial<Omit<LaunchSpec, "domain">> & { domain?: Partial<LaunchSpec["domain"]> };

export function tinySpec(changes: SpecChanges = {}): LaunchSpec {
  return {
    version: 1,
    namespace: "default",
    name: "tiny",
    uid: "0f4e6a52-6c7b-4c1e-9a63-0b6a6e1b2c3d",
    disks: [],
    interfaces: [],
    hostname: "tiny",
    gracePeriodSeconds: 30,
    startPaused: false,
    ...changes,
    domain: {
      uuid: "5d2f0c0e-7f8b-4d7e-9a51-0e6f3a1c2b4d",
      machineType: "q35",
      accelerator: "tcg",
      cpu: { sockets: 1, cores: 1, threads: 1, model: "host-model" },
      memoryBytes: 128 * 1024 * 1024,
      tcgCacheBytes: 64 * 1024 * 1024,
      kernelBoot: {
        kernelPath: `${LAUNCHER_PATHS.kernelBoot}/vmlinuz`,
        initrdPath: `${LAUNCHER_PATHS.kernelBoot}/initrd.gz`,
        kernelArgs: "console=ttyS0 quiet",
      },
      graphics: false,
      serialConsole: true,
      memBalloon: false,
      rng: false,
      ...changes.domain,
    },
  };
}

export interface StartOptions extends Pick<ContainerOptions, "scratchBytes"> {
  /** Image of the containerDisk `root`; the guest's own unless told. */
  readonly rootDisk?: string;
  /** Fills the folder that the launcher has at LAUNCHER_PATHS.volumes. */
  readonly fillVolumes?: (directory: string) => Promise<void>;
}

/** A launcher with the guest's kernel, and a disk as the image of the containerDisk `root`. */
export async function startContainer(
  t: TestContext,
  { guest, root }: Machine,
  spec: LaunchSpec,
  options: StartOptions = {},
): Promise<Container> {
  const { scratchBytes } = options;
  const container = await Container.start({
    ...(scratchBytes !== undefined && { scratchBytes }),
    root,
    spec,
    fill: async (folder) => {
      for (const file of ["vmlinuz", "initrd.gz"]) {
        await copyFile(join(guest, "boot", file), join(folder("kernel-boot"), file));
      }
      await mkdir(join(folder("volumes"), "root", "disk"), { recursive: true });
      await copyFile(
        options.rootDisk ?? join(guest, "disk", "disk.img"),
        join(folder("volumes"), "root", "disk", "disk.img"),
      );
      await options.fillVolumes?.(folder("volumes"));
    },
  });
  t.after(() => container.remove());
  return container;
}

/** Takes the launcher's connection as its agent, and gives it no network. */
export async function attach(container: Container): Promise<Http2Client> {
  const agent = await container.connection();
  await agent.request("PUT", "/v1/attachment", { body: { ok: true, interfaces: [] } });
  return agent;
}

/** Types a line at the guest's shell, again every 2 s until the answer shows: the shell may not be there yet. */
export async function ask(console: Duplex, line: string, answer: RegExp): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let text = "";
  const read = (chunk: Buffer) => {
    text += chunk.toString("latin1");
    if (answer.test(text)) resolve();
  };
  const ended = () => reject(new Error(`the console ended; it had shown:\n${text}`));
  const overdue = () => reject(new Error(`the guest never answered ${line} with ${answer}:\n${text}`));
  const type = () => console.write(`${line}\n`);
  const repeat = setInterval(type, 2_000);
  const deadline = setTimeout(overdue, GUEST_DEADLINE_MS);
  console.on("data", read).once("end", ended);
  type();
  try {
    await promise;
  } finally {
    clearInterval(repeat);
    clearTimeout(deadline);
    console.off("data", read).off("end", ended);
  }
}
