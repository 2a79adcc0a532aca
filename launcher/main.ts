/**
 * The launcher's process: reads its environment, lives one domain's life, and exits with how it ended.
 *
 * `probe OUTPUT_DIRECTORY [WORK_DIRECTORY]` probes the node instead (probe/probe.ts): as root, once per node.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LaunchSpec } from "../api/launch-spec.ts";
import type { DomainEnd } from "../api/launcher-protocol.ts";
import { ENV_LAUNCH_SPEC, ENV_NODE_NAME, LAUNCHER_PATHS } from "../api/names.ts";
import { systemClock } from "../lib/clock.ts";
import { readHostCpus, runOn } from "./cpu/host-cpus.ts";
import { type CpuPinning, planPinning } from "./cpu/pinning.ts";
import { domainXml } from "./domain/xml.ts";
import { describeError } from "./errors.ts";
import { connectAgent } from "./guest-agent/connection.ts";
import { parseLaunchSpec } from "./launch-spec.ts";
import { Launcher } from "./launcher.ts";
import { startLibvirtDaemon } from "./libvirt/daemon.ts";
import { readLastWords } from "./libvirt/qemu-log.ts";
import { connectDomain } from "./lifecycle/domain-connection.ts";
import type { QemuTraces } from "./lifecycle/events.ts";
import { readOomKills } from "./lifecycle/oom-kills.ts";
import { exitCodeOf, terminationMessage } from "./lifecycle/status.ts";
import { type Daemon, Supervisor } from "./lifecycle/supervisor.ts";
import { createLog, type Log } from "./log.ts";
import { startSwtpm } from "./tpm/swtpm.ts";

const { agentSocket, probeSocket, runtime, terminationMessage: terminationLog } = LAUNCHER_PATHS;
/** qemu's sockets. */
const SOCKETS = join(runtime, "qemu");
const PATHS = {
  serialSocket: join(SOCKETS, "serial.sock"),
  vncSocket: join(SOCKETS, "vnc.sock"),
  agentSocket: join(SOCKETS, "guest-agent.sock"),
  tpmSocket: join(SOCKETS, "tpm.sock"),
  nvram: join(runtime, "nvram.fd"),
};
/** For what the guest's TPM keeps. */
const TPM_STATE = join(runtime, "tpm");

const { log, flush } = createLog({});
const oomKillsAtStart = readOomKills();
const [, , command, ...operands] = process.argv;
if (command === "probe") {
  const isDone = await probe(operands);
  flush();
  process.exit(isDone ? 0 : 1);
}
if (command !== undefined) {
  log.fatal({ command }, "the launcher knows the command probe, or none");
  flush();
  process.exit(2);
}
// The guest is worth more than certainty about this process: what broke is told, and deadlines end what it left.
process.on("uncaughtException", (error) =>
  log.fatal({ err: error }, "a defect of the launcher; the guest goes on"),
);

const end = await live().catch(failed);
flush();
process.exit(exitCodeOf(end));

/** Loaded only here: a launcher does without it. */
async function probe([outputDirectory, workDirectory = tmpdir()]: readonly string[]): Promise<boolean> {
  if (outputDirectory === undefined) {
    log.fatal({}, "probe needs the directory that its results go to");
    return false;
  }
  try {
    const { runProbe } = await import("./probe/probe.ts");
    await runProbe({ outputDirectory, workDirectory, log });
    return true;
  } catch (error) {
    log.fatal({ err: error }, "cannot probe the node");
    return false;
  }
}

async function live(): Promise<DomainEnd> {
  const spec = parseLaunchSpec(process.env[ENV_LAUNCH_SPEC]);
  log.info({ vmi: `${spec.namespace}/${spec.name}`, uid: spec.uid }, "the launcher starts");
  const pinning = pinCpus(spec);
  await mkdir(SOCKETS, { recursive: true });
  const launcher = newLauncher(spec, pinning, log);
  const stop = () => launcher.shutdown(spec.gracePeriodSeconds * 1000);
  process.on("SIGTERM", stop).on("SIGINT", stop);
  return launcher.run();
}

/** @throws LauncherError CpusNotDedicated */
function pinCpus({ domain: { cpu } }: LaunchSpec): CpuPinning | undefined {
  if (cpu.dedicated === undefined) return undefined;
  const pinning = planPinning(cpu, cpu.dedicated, readHostCpus(), process.env[ENV_NODE_NAME] ?? "?");
  log.info({ ...pinning }, "CPUs of its own");
  if (!cpu.dedicated.isolateEmulatorThread) return pinning;
  try {
    // This process, and the libvirtd that it starts: libvirt itself pins qemu's threads.
    runOn(pinning.emulator);
  } catch (error) {
    log.error({ err: error }, "the launcher and libvirtd stay on the vCPUs' CPUs");
  }
  return pinning;
}

function newLauncher(spec: LaunchSpec, pinning: CpuPinning | undefined, log: Log): Launcher {
  let socketPath = "";
  const startDaemon = async (): Promise<Daemon> => {
    const daemon = await startLibvirtDaemon({
      runtimeDirectory: runtime,
      capabilities: join(LAUNCHER_PATHS.capabilities, spec.domain.accelerator),
      onLogLine: (line) => log.info({ line }, "libvirtd"),
    });
    socketPath = daemon.socketPath;
    return { exited: daemon.exited, stop: () => void daemon.stop() };
  };
  return new Launcher({
    spec,
    paths: {
      agentSocket,
      terminationMessage: terminationLog,
      serialSocket: PATHS.serialSocket,
      vncSocket: PATHS.vncSocket,
      probeSocket,
    },
    resolvConf: readResolvConf(),
    stdout: process.stdout,
    clock: systemClock,
    log,
    createHypervisor: (listener) =>
      new Supervisor({
        startDaemon,
        connect: () => connectDomain(socketPath, spec.domain.uuid),
        listener,
        clock: systemClock,
        log,
      }),
    connectGuestAgent: () => connectAgent(socketPath, spec.domain.uuid),
    ...(spec.domain.tpm && {
      startTpm: () =>
        startSwtpm({
          socket: PATHS.tpmSocket,
          directory: TPM_STATE,
          onLogLine: (line) => log.warn({ line }, "swtpm"),
        }),
    }),
    qemuTraces: tracesOf,
    domainXml: (resources) => domainXml(spec, { ...resources, paths: PATHS, ...(pinning && { pinning }) }),
  });
}

function tracesOf(): QemuTraces {
  const lastWords = readLastWords(runtime);
  return { isOutOfMemory: readOomKills() > oomKillsAtStart, ...(lastWords !== undefined && { lastWords }) };
}

/** A pod always has one; without it the guest gets no resolver. */
function readResolvConf(): string {
  try {
    return readFileSync("/etc/resolv.conf", "utf8");
  } catch {
    return "";
  }
}

/** What failed before there was a domain's life to end. */
function failed(error: unknown): DomainEnd {
  const end: DomainEnd = { reason: "failed", acpiRequested: false, ...describeError(error) };
  log.fatal({ err: error }, "the launcher cannot start");
  try {
    writeFileSync(terminationLog, terminationMessage(end));
  } catch (cause) {
    log.error({ err: cause }, `cannot write the termination message to ${terminationLog}`);
  }
  return end;
}
