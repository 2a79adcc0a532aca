/** The agent's parts, how they know each other, and the order in which they start and stop. */

import { lookup } from "node:dns/promises";
import { access } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import { LAUNCHER_UID } from "../api/names.ts";
import type { AgentSettings } from "../api/uplink-protocol.ts";
import { systemClock } from "../lib/clock.ts";
import type { AgentConfig } from "./config.ts";
import { CpuBurst } from "./cpu-burst/cpu-burst.ts";
import { DevicePluginManager } from "./device-plugin/manager.ts";
import { Announcements } from "./launchers/announcements.ts";
import { BootTurns } from "./launchers/boot-turns.ts";
import { Broker } from "./launchers/broker.ts";
import { handOverDevices } from "./launchers/devices.ts";
import { StatusRegistry } from "./launchers/registry.ts";
import { inspectNetwork } from "./network/inspect.ts";
import { watchNetwork } from "./network/watch/watch.ts";
import { forgetOtherNetworks, wireNetwork } from "./network/wire.ts";
import { readNodeFacts } from "./node-facts.ts";
import { namespaceIdOf } from "./peer/identity.ts";
import { Uplink } from "./uplink/uplink.ts";

export interface Agent {
  /**
   * Puts the guests' CPU limits back, then stops in the reverse order of the start. Guests run on; their launchers dial
   * the next agent.
   */
  stop(): Promise<void>;
}

export async function startAgent(
  config: AgentConfig,
  version: string,
  log: Logger,
  setLogLevel: (level: string) => void,
): Promise<Agent> {
  const facts = await readNodeFacts(config.nodeFactsPath, version);
  log.info({ facts }, "starting");
  const hostRoot = await readableRoot(config.hostRoot, log);
  const registry = new StatusRegistry(facts);
  const announcements = await Announcements.load(config.announcementPath, log);
  const cpuBurst = new CpuBurst({ cgroupRoot: config.cgroupRoot, stateDirectory: config.burstState, log });
  const obey = (settings: AgentSettings | undefined) => {
    setLogLevel(settings?.logLevel ?? config.logLevel);
  };
  const broker = new Broker({
    socketPath: join(config.socketDirectory, "agent.sock"),
    announcements,
    registry,
    forbiddenNamespaces: new Set([namespaceIdOf(config.hostNetns), namespaceIdOf("/proc/self/ns/net")]),
    hostNetns: config.hostNetns,
    handOverDevices: (container) =>
      handOverDevices(container, { uid: LAUNCHER_UID, gid: LAUNCHER_UID }, hostRoot),
    letBurst: (podUid, cgroup) => cpuBurst.attach(podUid, cgroup),
    announced: (launchers, settings) => {
      obey(settings);
      return { pendingCpu: cpuBurst.announce(launchers, settings) };
    },
    networkState: config.networkState,
    bootTurns: new BootTurns({ slots: availableParallelism(), clock: systemClock }),
    wireNetwork,
    inspectNetwork,
    watchNetwork,
    forgetOtherNetworks,
    log,
  });
  const devicePlugins = new DevicePluginManager({
    directory: config.devicePluginDirectory,
    agentDirectory: config.socketDirectory,
    hostRoot,
    kvmUsable: facts.kvm.usable,
    log,
  });
  const uplink = new Uplink({
    broker,
    registry,
    metrics: () => {
      const { node, launchers } = cpuBurst.metrics();
      return { node: { ...node, refusals: broker.refusals }, launchers };
    },
    tokenPath: config.tokenPath,
    port: config.uplinkPort,
    serverName: config.uplink,
    caPath: config.caPath,
    resolve: async () => (await lookup(config.uplink, { all: true })).map(({ address }) => address),
    log,
  });

  // By what was announced to the agent before this one: guests need not wait for the operator.
  obey(announcements.settings);
  cpuBurst.start(announcements.launchers, announcements.settings);
  // The broker before the plugins: with the device plugin's answer a launcher starts, and it dials at once.
  await broker.start();
  await devicePlugins.start();
  uplink.start();
  return {
    stop: async () => {
      // Whatever hangs after this: nothing is left raised.
      cpuBurst.stop();
      await uplink.stop();
      await devicePlugins.stop();
      await broker.stop();
    },
  };
}

/** The node's root through PID 1 is sealed on some machines; the agent's own /dev then has to do. */
async function readableRoot(path: string, log: Logger): Promise<string> {
  try {
    await access(join(path, "dev"));
    return path;
  } catch (error) {
    log.warn({ err: error }, "the node's root can't be read; looking for devices in the agent's own /dev");
    return "/";
  }
}
