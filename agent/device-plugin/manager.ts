/**
 * Keeps every resource of the node known to the kubelet: observe (files, streams) → plan → act, once at the start,
 * after each event in the device plugin directory, and at long intervals in case an event was missed.
 */
import { type FSWatcher, watch } from "node:fs";
import { access, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { Backoff } from "../../lib/backoff.ts";
import { type FileIdentity, planResource } from "./plan.ts";
import { KUBELET_SOCKET } from "./protocol.ts";
import { register } from "./registration.ts";
import { isAvailable, type NodeDevices, PLUGIN_RESOURCES, type PluginResource } from "./resources.ts";
import { PluginServer } from "./server.ts";

/** Events come in bursts while the kubelet starts; one look after the burst does. */
const DEBOUNCE_MS = 200;
/** inotify may miss an event (a full queue, a replaced mount); this bounds how long that goes unnoticed. */
const BACKSTOP_MS = 30_000;

export interface DevicePluginManagerOptions {
  /** Where the kubelet listens and the plugins do. */
  readonly directory: string;
  /** Directory on the node that each allocation mounts into its container. */
  readonly agentDirectory: string;
  /** The node's root directory as the agent sees it: where device nodes are looked for. */
  readonly hostRoot: string;
  readonly kvmUsable: boolean;
  readonly log: Logger;
}

interface Plugin {
  readonly resource: PluginResource;
  readonly server: PluginServer;
  readonly socketPath: string;
  bound: FileIdentity | undefined;
  registeredWith: FileIdentity | undefined;
  registeredAt: number;
}

export class DevicePluginManager {
  readonly #options: DevicePluginManagerOptions;
  readonly #plugins: readonly Plugin[];
  readonly #backoff = new Backoff({ initialMs: 500, maxMs: 15_000 });
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerDue = Number.POSITIVE_INFINITY;
  #round: Promise<void> | undefined;
  #stopped = false;

  constructor(options: DevicePluginManagerOptions) {
    this.#options = options;
    this.#plugins = PLUGIN_RESOURCES.map((resource) => {
      const socketPath = join(options.directory, resource.endpoint);
      const server = new PluginServer({
        resource,
        socketPath,
        agentDirectory: options.agentDirectory,
        onUnwatched: () => this.#look(DEBOUNCE_MS),
      });
      return { resource, server, socketPath, bound: undefined, registeredWith: undefined, registeredAt: 0 };
    });
  }

  /** Resolves after the first round; a kubelet that is away is waited for in the background. */
  async start(): Promise<void> {
    this.#watchDirectory();
    await this.#run();
  }

  /** Ends the round under way, then every stream; removes the sockets. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#watcher?.close();
    clearTimeout(this.#timer);
    await this.#round?.catch(() => {});
    await Promise.all(this.#plugins.map(({ server }) => server.close()));
  }

  /** Watches the directory, not the kubelet's socket: a watch on a file ends with its inode. */
  #watchDirectory(): void {
    const ours = new Set([KUBELET_SOCKET, ...this.#plugins.map(({ resource }) => resource.endpoint)]);
    const watcher = watch(this.#options.directory, (_event, file) => {
      if (file === null || ours.has(file)) this.#look(DEBOUNCE_MS);
    });
    watcher.on("error", (error) => {
      this.#options.log.warn({ err: error }, "the watch on the device plugin directory ended");
      watcher.close();
    });
    this.#watcher = watcher;
  }

  /** Sees to it that a round starts within `delayMs`. */
  #look(delayMs: number): void {
    const due = performance.now() + delayMs;
    if (this.#stopped || due >= this.#timerDue) return;
    clearTimeout(this.#timer);
    this.#timerDue = due;
    this.#timer = setTimeout(() => {
      this.#timerDue = Number.POSITIVE_INFINITY;
      void this.#run();
    }, delayMs);
  }

  /** One round at a time: what comes up during a round is seen to by the next. */
  async #run(): Promise<void> {
    if (this.#round !== undefined) {
      // Whoever began it tells of its failure.
      await this.#round.catch(() => {});
      this.#look(DEBOUNCE_MS);
      return;
    }
    this.#round = this.#reconcile();
    const delayMs = await this.#round.then(
      () => {
        this.#backoff.reset();
        return BACKSTOP_MS;
      },
      (error: unknown) => {
        const retryMs = this.#backoff.next();
        this.#options.log.warn({ err: error, retryMs }, "registering with the kubelet failed");
        return retryMs;
      },
    );
    this.#round = undefined;
    this.#look(delayMs);
  }

  /** Resources fail one by one: the others are seen to before the first error is thrown. */
  async #reconcile(): Promise<void> {
    const node = await this.#observeNode();
    const results = await Promise.allSettled(
      this.#plugins.map((plugin) => this.#reconcilePlugin(plugin, node)),
    );
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  async #reconcilePlugin(plugin: Plugin, node: NodeDevices): Promise<void> {
    const kubeletSocket = join(this.#options.directory, KUBELET_SOCKET);
    const kubelet = await identity(kubeletSocket);
    const plan = planResource({
      available: isAvailable(plugin.resource, node),
      kubelet,
      bound: plugin.bound,
      found: await identity(plugin.socketPath),
      registeredWith: plugin.registeredWith,
      sinceRegistrationMs: performance.now() - plugin.registeredAt,
      watched: plugin.server.watched,
      healthy: plugin.server.healthy,
    });
    if (plan.health !== undefined) plugin.server.setHealthy(plan.health);
    if (plan.listen) {
      plugin.bound = undefined;
      await plugin.server.listen();
      plugin.bound = await identity(plugin.socketPath);
    }
    if (plan.register && !this.#stopped) {
      await register(kubeletSocket, plugin.resource.endpoint, plugin.resource.name);
      plugin.registeredWith = kubelet;
      plugin.registeredAt = performance.now();
      this.#options.log.info({ resource: plugin.resource.name }, "registered with the kubelet");
    }
  }

  async #observeNode(): Promise<NodeDevices> {
    const devicePaths = new Set<string>();
    for (const { devicePath } of PLUGIN_RESOURCES) {
      if (devicePath !== undefined && (await exists(join(this.#options.hostRoot, devicePath)))) {
        devicePaths.add(devicePath);
      }
    }
    return { kvmUsable: this.#options.kvmUsable, devicePaths };
  }
}

async function identity(path: string): Promise<FileIdentity | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? undefined : `${found.ino}:${found.ctimeNs}`;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
