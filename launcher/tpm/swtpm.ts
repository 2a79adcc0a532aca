/** The guest's TPM 2.0: swtpm's process beside qemu, which connects to its socket. What it keeps ends with the pod. */
import { mkdir } from "node:fs/promises";
import { LauncherError } from "../errors.ts";
import { type ServedProcess, startServedProcess } from "../served-process.ts";

export const SWTPM = "/usr/bin/swtpm";
/** From the spawn to the socket: some 10 ms on an idle machine. */
const START_TIMEOUT_MS = 10_000;

export interface SwtpmOptions {
  /** qemu's control channel. Its folder must exist. */
  readonly socket: string;
  /** For the TPM's state; made when absent. */
  readonly directory: string;
  /** `SWTPM` unless told. */
  readonly program?: string;
  /** Told of each line of its log, and how it ended when nobody stopped it. */
  readonly onLogLine: (line: string) => void;
}

/**
 * Starts swtpm with a TPM that has just been made, and waits until its socket is served.
 * @throws LauncherError `TpmStart`
 */
export async function startSwtpm(options: SwtpmOptions): Promise<ServedProcess> {
  const { socket, directory, program = SWTPM, onLogLine } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return startServedProcess({
    program,
    args: [
      ...["socket", "--tpm2"],
      ...["--tpmstate", `dir=${directory},mode=0600`],
      ...["--ctrl", `type=unixio,path=${socket},mode=0600`],
    ],
    env: { PATH: "/usr/bin", LC_ALL: "C" },
    socket,
    timeoutMs: START_TIMEOUT_MS,
    onLogLine,
    onLost: (end) => onLogLine(`swtpm ${end}: the guest's TPM is gone`),
    failed: (end, cause) => new LauncherError("TpmStart", `swtpm, the guest's TPM, ${end}`, { cause }),
  });
}
