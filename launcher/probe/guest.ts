/** Runs the payload under qemu, to see whether an accelerator really runs guests here. */
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Accelerator } from "../../api/launch-spec.ts";
import { EXIT_PORT, PAYLOAD_EXIT_CODE, payload } from "./payload.ts";

/** It takes some ten milliseconds where it works. */
const GUEST_DEADLINE_MS = 5_000;
const MAX_STDERR_CHARACTERS = 500;

export interface GuestVerdict {
  readonly usable: boolean;
  /** A sentence without a full stop. */
  readonly reason: string;
}

export interface GuestOptions {
  readonly emulator: string;
  /** For a short-lived file. */
  readonly directory: string;
  readonly deadlineMs?: number;
}

/** @throws Error the payload can't be written */
export async function tryGuest(accelerator: Accelerator, options: GuestOptions): Promise<GuestVerdict> {
  const folder = await mkdtemp(join(options.directory, "guest-"));
  try {
    const firmware = join(folder, "payload.bin");
    await writeFile(firmware, payload());
    return await runGuest(accelerator, firmware, options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function runGuest(
  accelerator: Accelerator,
  firmware: string,
  { emulator, deadlineMs = GUEST_DEADLINE_MS }: GuestOptions,
): Promise<GuestVerdict> {
  const name = accelerator.toUpperCase();
  const child = spawn(emulator, guestArguments(accelerator, firmware), {
    stdio: ["ignore", "ignore", "pipe"],
    timeout: deadlineMs,
    killSignal: "SIGKILL",
  });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-MAX_STDERR_CHARACTERS);
  });
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ usable: false, reason: `qemu can't be run: ${error.message}` }));
    child.once("close", (code, signal) => {
      if (code === PAYLOAD_EXIT_CODE) {
        resolve({ usable: true, reason: `a 64-bit guest ran under ${name}` });
      } else if (signal === "SIGKILL" && child.killed) {
        resolve({ usable: false, reason: `a 64-bit guest hung under ${name} for ${deadlineMs} ms` });
      } else {
        const how = code === null ? `was ended by ${signal}` : `ended with exit code ${code}`;
        const detail = stderr.trim() === "" ? "" : `: ${stderr.trim().replaceAll(/\s*\n\s*/g, "; ")}`;
        resolve({ usable: false, reason: `a 64-bit guest didn't run under ${name}; qemu ${how}${detail}` });
      }
    });
  });
}

function guestArguments(accelerator: Accelerator, firmware: string): readonly string[] {
  return [
    ...["-machine", "q35", "-accel", accelerator, "-cpu", accelerator === "kvm" ? "host" : "max", "-m", "16"],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-bios", firmware],
    ...["-device", `isa-debug-exit,iobase=${EXIT_PORT},iosize=4`],
  ];
}
