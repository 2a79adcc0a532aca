/** The gRPC server of one resource: the kubelet watches its devices here and asks what a container gets. */
import { rm } from "node:fs/promises";
import { type handleUnaryCall, Server, ServerCredentials, type ServerWritableStream } from "@grpc/grpc-js";
import {
  type AllocateRequest,
  type AllocateResponse,
  type DevicePluginOptions,
  devicePluginService,
  type Empty,
  type ListAndWatchResponse,
} from "./protocol.ts";
import { allocate, devicesOf, type PluginResource } from "./resources.ts";

export interface PluginServerOptions {
  readonly resource: PluginResource;
  /** Path of the socket to listen on. */
  readonly socketPath: string;
  /** Directory on the node that is mounted into each container. */
  readonly agentDirectory: string;
  /** Called when a ListAndWatch stream of the kubelet ended: it restarts, or it has dropped the plugin. */
  readonly onUnwatched: () => void;
}

type WatchCall = ServerWritableStream<Empty, ListAndWatchResponse>;

export class PluginServer {
  readonly #options: PluginServerOptions;
  readonly #watchers = new Set<WatchCall>();
  #server: Server | undefined;
  #healthy = true;

  constructor(options: PluginServerOptions) {
    this.#options = options;
  }

  get watched(): boolean {
    return this.#watchers.size > 0;
  }

  get healthy(): boolean {
    return this.#healthy;
  }

  /** Tells every watching kubelet, and each later one, whether the devices may be used. */
  setHealthy(healthy: boolean): void {
    this.#healthy = healthy;
    for (const call of this.#watchers) call.write(this.#devices());
  }

  /** Listens on a new socket; an older one of this server is closed first. */
  async listen(): Promise<void> {
    // Closing a listener unlinks its path, so it must be over before the path is used again.
    await this.close();
    await rm(this.#options.socketPath, { force: true });
    const server = new Server();
    server.addService(devicePluginService, this.#implementation());
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${this.#options.socketPath}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    this.#server = server;
  }

  /** Ends every stream and removes the socket. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#watchers.clear();
    server.forceShutdown();
    await rm(this.#options.socketPath, { force: true });
  }

  #implementation() {
    const { resource, agentDirectory, onUnwatched } = this.#options;
    const getDevicePluginOptions: handleUnaryCall<Empty, DevicePluginOptions> = (_call, reply) => {
      reply(null, { preStartRequired: false, getPreferredAllocationAvailable: false });
    };
    // The stream stays open for as long as the plugin lives: its end means to the kubelet that the plugin is dead.
    const listAndWatch = (call: WatchCall): void => {
      this.#watchers.add(call);
      const leave = () => {
        if (this.#watchers.delete(call)) onUnwatched();
      };
      call.on("cancelled", leave);
      call.on("close", leave);
      call.on("error", leave);
      call.write(this.#devices());
    };
    const allocateDevices: handleUnaryCall<AllocateRequest, AllocateResponse> = (call, reply) => {
      reply(null, { containers: call.request.containers.map(() => allocate(resource, agentDirectory)) });
    };
    return {
      GetDevicePluginOptions: getDevicePluginOptions,
      ListAndWatch: listAndWatch,
      Allocate: allocateDevices,
    };
  }

  #devices(): ListAndWatchResponse {
    return { devices: devicesOf(this.#options.resource, this.#healthy) };
  }
}
