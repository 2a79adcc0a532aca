/** Assembles the operator: caches and servers on every replica, controllers on the one that leads. */
import { randomUUID } from "node:crypto";
import type { Client } from "../kube/client.ts";
import { EventRecorder } from "../kube/events.ts";
import type { Informer } from "../kube/informer.ts";
import { LeaderElector } from "../kube/leader-election.ts";
import type { Logger } from "../kube/logger.ts";
import { Manager, type Runnable } from "../kube/manager.ts";
import type { KubeMetrics } from "../kube/metrics.ts";
import type { ConfigMap } from "../kube/resources.ts";
import { systemClock } from "../lib/clock.ts";
import { announceChanges, announcementFor } from "./announcements.ts";
import { type Caches, informersOf, makeCaches } from "./caches.ts";
import { createServingCertificate, type KeyedCertificate, renewalTime } from "./certificates/authority.ts";
import { type Custody, ensureAuthority, publishBundle } from "./certificates/custody.ts";
import type { OperatorConfig } from "./config.ts";
import { configurationKeeper } from "./configuration/keeper.ts";
import { exportConfiguration } from "./configuration/metrics.ts";
import { readConfiguration, watchConfiguration } from "./configuration/watch.ts";
import { probesAndMetrics } from "./http.ts";
import { refuseForeignInstallation } from "./installation.ts";
import { exportMeasurements } from "./metrics/export.ts";
import { AgentPresence } from "./node/presence.ts";
import { reviewAccess, reviewToken } from "./reviews.ts";
import { domainVerbHandlers } from "./subresources/domain-verbs.ts";
import { expandSpecHandlers } from "./subresources/expand-spec.ts";
import { guestAgentHandlers } from "./subresources/guest-agent.ts";
import { networkHandlers } from "./subresources/network.ts";
import { screenshotHandlers } from "./subresources/screenshot.ts";
import { SubresourceServer } from "./subresources/server.ts";
import { startStopHandlers } from "./subresources/start-stop.ts";
import { openSession } from "./subresources/streams.ts";
import { readTrust, watchTrust } from "./subresources/trust.ts";
import { usageHandlers } from "./subresources/usage.ts";
import { Agents } from "./uplink/agents.ts";
import { Announcer } from "./uplink/announcer.ts";
import { UplinkListener } from "./uplink/listener.ts";
import { Statuses } from "./uplink/statuses.ts";
import { VmController } from "./vm/controller.ts";
import { VmiController } from "./vmi/controller.ts";

export interface OperatorParts {
  readonly config: OperatorConfig;
  readonly client: Client;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly setLogLevel: (level: string) => void;
}

const MINUTE_MS = 60_000;

/** Runs until the signal aborts. @throws what made it impossible to go on */
export async function runOperator(
  { config, client, logger, metrics, setLogLevel }: OperatorParts,
  signal: AbortSignal,
): Promise<void> {
  await refuseForeignInstallation(client);
  const { namespace } = config;
  const configuration = await readConfiguration({ client, namespace });
  setLogLevel(configuration.current.logLevel);
  configuration.on("change", (now) => {
    const { refused, version } = now;
    if (refused === undefined) logger.info({ version }, "another configuration is in force");
    else logger.error({ version }, refused);
    setLogLevel(now.configuration.logLevel);
  });
  const agents = new Agents();
  const caches = makeCaches(client, logger, metrics);
  const statuses = new Statuses(agents, (node, err) =>
    logger.warn({ node, err }, "an agent's status broke off"),
  );
  const elector = new LeaderElector({
    client,
    namespace,
    name: "virtpod-operator",
    identity: `${config.podName}_${randomUUID()}`,
    logger,
    metrics,
  });
  const leading = client.fenced(() => elector.assertLeading());
  const events = new EventRecorder({
    client,
    component: "virtpod-operator",
    instance: config.podName,
    logger,
    metrics,
  });
  const announcer = new Announcer({
    agents,
    announcementFor: (nodeName) => announcementFor(caches, configuration, nodeName),
    onError: (node, err) => logger.warn({ node, err }, "an agent could not be told its launchers"),
  });
  announceChanges(caches, configuration, announcer, () => agents.statusConnections().keys());
  exportMeasurements(metrics.registry, { agents, caches, isLeader: () => elector.isLeader, logger });
  exportConfiguration(metrics.registry, configuration, () => announcer.versions);
  const shared = { client: leading, caches, events, logger, metrics };
  const presence = new AgentPresence(agents, systemClock);
  const vm = new VmController(shared);
  const vmi = new VmiController({ ...shared, statuses, presence, config, configuration, announcer });

  const manager = new Manager({ elector, logger });
  manager.add(
    "servers",
    probesAndMetrics(metrics.registry, () => manager.isReady),
  );
  const tls = await tlsServers({ config, client, logger, metrics, caches, agents });
  manager.add("caches", watchConfiguration({ client, namespace, logger, metrics }, configuration));
  manager.add("caches", ...informersOf(caches), tls.trust);
  manager.add("others", events, tls.servers);
  manager.add("controllers", configurationKeeper({ ...shared, namespace, live: configuration }));
  manager.add("controllers", leadership(statuses, announcer, elector), vmi.controller, vm.controller);
  await manager.run(signal);
}

/** What only the leader does with the agents: reads their status and tells them their launchers. */
function leadership(statuses: Statuses, announcer: Announcer, elector: LeaderElector): Runnable {
  return {
    name: "leadership",
    run: (signal) =>
      new Promise((resolve) => {
        statuses.start();
        announcer.start(elector.term);
        const stop = () => {
          announcer.stop();
          statuses.stop();
          resolve();
        };
        if (signal.aborted) stop();
        else signal.addEventListener("abort", stop, { once: true });
      }),
  };
}

interface TlsParts extends Omit<OperatorParts, "setLogLevel"> {
  readonly caches: Caches;
  readonly agents: Agents;
}

interface TlsServers {
  readonly servers: Runnable;
  /** Whom the aggregated API believes. */
  readonly trust: Informer<ConfigMap>;
}

/** The aggregated API and the uplink, on one serving certificate that is renewed in time. */
async function tlsServers(parts: TlsParts): Promise<TlsServers> {
  const { config, client, logger, caches, agents } = parts;
  const { namespace } = config;
  const trust = await readTrust(client);
  let { custody, certificate } = await serving(client, namespace);
  const subresources = new SubresourceServer({
    certificate,
    trust,
    authorize: (caller, verb, path) => reviewAccess(client, caller, verb, path),
    open: (path) => openSession(caches, agents, path),
    handlers: {
      ...startStopHandlers(client),
      ...domainVerbHandlers(caches, agents),
      ...guestAgentHandlers(caches, agents),
      ...networkHandlers(caches, agents),
      ...usageHandlers(caches, agents),
      ...screenshotHandlers(caches, agents),
      ...expandSpecHandlers(client),
    },
    onError: (request, err) => logger.error({ request, err }, "a subresource request failed"),
  });
  const uplink = new UplinkListener({
    certificate,
    agentUsername: `system:serviceaccount:${namespace}:virtpod-agent`,
    reviewToken: (token, audience) => reviewToken(client, token, audience),
    onConnected: (connection) => {
      logger.info(
        { node: connection.agent.nodeName, kind: connection.agent.connection },
        "an agent connected",
      );
      agents.add(connection);
    },
    onRejected: (remote, err) => logger.warn({ remote, err }, "a connection to the uplink was refused"),
  });
  const ready = Promise.all([subresources.listen(), uplink.listen()]).then(() =>
    publishBundle(client, namespace, custody.bundle),
  );
  // Whoever waits for it learns of a failure; until then it must not count as unhandled.
  ready.catch(() => {});
  const servers: Runnable = {
    name: "aggregated API and uplink",
    waitForSync: () => ready,
    run: async (signal) => {
      await ready;
      while (!signal.aborted) {
        const waitMs = Math.max(MINUTE_MS, renewalTime(certificate.certificatePem) - Date.now());
        await sleepUntilAborted(waitMs, signal);
        if (signal.aborted) break;
        ({ custody, certificate } = await serving(client, namespace));
        subresources.renewCertificate(certificate);
        uplink.renewCertificate(certificate);
        await publishBundle(client, namespace, custody.bundle);
        logger.info({}, "renewed the serving certificate");
      }
      agents.close();
      await Promise.all([subresources.close(), uplink.close()]);
    },
  };
  return { servers, trust: watchTrust(parts, trust, (renewed) => subresources.renewTrust(renewed)) };
}

async function serving(
  client: Client,
  namespace: string,
): Promise<{ custody: Custody; certificate: KeyedCertificate }> {
  const now = Date.now();
  const custody = await ensureAuthority(client, namespace, now);
  const names = [`virtpod-operator.${namespace}.svc`, `virtpod-uplink.${namespace}.svc`];
  return { custody, certificate: await createServingCertificate(custody.authority, names, now) };
}

function sleepUntilAborted(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // A timer holds at most 2^31 ms; the loop above simply waits again.
    const timer = setTimeout(done, Math.min(ms, 2 ** 31 - 1));
    signal.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
