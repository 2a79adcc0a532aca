/** The device plugins against a kubelet that behaves as the real one does on its sockets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import {
  type Client,
  type ClientReadableStream,
  credentials,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { loadSync, type ServiceDefinition } from "@grpc/proto-loader";
import { pino } from "pino";
import { DevicePluginManager } from "./manager.ts";

const definitions = loadSync(join(import.meta.dirname, "v1beta1.proto"), { keepCase: true, defaults: true });
const PluginClient = makeGenericClientConstructor(
  definitions["v1beta1.DevicePlugin"] as ServiceDefinition,
  "DevicePlugin",
);
const AGENT_DIRECTORY = "/var/lib/virtpod/agent/socket";

interface Registered {
  readonly resource: string;
  readonly client: Client & Record<string, (...args: unknown[]) => unknown>;
  readonly stream: ClientReadableStream<unknown>;
  devices: { ID: string; health: string }[];
}

/** Speaks as the kubelet does: clears the directory, calls back during Register, then watches. */
class FakeKubelet {
  readonly registered = new Map<string, Registered>();
  readonly directory: string;
  readonly calls: string[] = [];
  #server: Server | undefined;
  #waiters: (() => void)[] = [];

  constructor(directory: string) {
    this.directory = directory;
  }

  async start(): Promise<void> {
    for (const file of await readdir(this.directory)) await rm(join(this.directory, file));
    const server = new Server();
    server.addService(definitions["v1beta1.Registration"] as ServiceDefinition, {
      Register: (
        call: ServerUnaryCall<{ endpoint: string; resource_name: string }, object>,
        reply: sendUnaryData<object>,
      ) => {
        const { endpoint, resource_name: resource } = call.request;
        this.calls.push(`Register ${resource}`);
        const client = new PluginClient(
          `unix:${join(this.directory, endpoint)}`,
          credentials.createInsecure(),
          {
            "grpc.use_local_subchannel_pool": 1,
          },
        ) as unknown as Registered["client"];
        client["GetDevicePluginOptions"]?.({}, (error: Error | null) => {
          if (error !== null) return reply({ code: 2, message: error.message });
          this.calls.push(`GetDevicePluginOptions ${resource}`);
          reply(null, {});
          this.#watch(resource, client);
        });
      },
    });
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(
        `unix:${join(this.directory, "kubelet.sock")}`,
        ServerCredentials.createInsecure(),
        (error) => (error === null ? resolve() : reject(error)),
      );
    });
    this.#server = server;
  }

  /** As when killed: streams end, the socket file stays. */
  async kill(): Promise<void> {
    this.#server?.forceShutdown();
    for (const { client } of this.registered.values()) client.close();
    this.registered.clear();
    await writeFile(join(this.directory, "kubelet.sock"), "");
  }

  stop(): void {
    this.#server?.forceShutdown();
    for (const { client } of this.registered.values()) client.close();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#waiters.push(resolve);
      });
    }
  }

  #watch(resource: string, client: Registered["client"]): void {
    const stream = client["ListAndWatch"]?.({}) as ClientReadableStream<unknown>;
    const entry: Registered = { resource, client, stream, devices: [] };
    stream.on("data", (message: { devices: Registered["devices"] }) => {
      entry.devices = message.devices;
      this.registered.set(resource, entry);
      this.#wake();
    });
    const ended = () => {
      if (this.registered.get(resource) === entry) this.registered.delete(resource);
      client.close();
      this.#wake();
    };
    stream.on("error", ended);
    stream.on("end", ended);
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}

let root: string;
let kubelet: FakeKubelet;
let manager: DevicePluginManager;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "device-plugin-"));
  const directory = join(root, "plugins");
  await mkdir(directory);
  await mkdir(join(root, "dev/net"), { recursive: true });
  await writeFile(join(root, "dev/net/tun"), "");
  await writeFile(join(root, "dev/kvm"), "");
  kubelet = new FakeKubelet(directory);
  manager = new DevicePluginManager({
    directory,
    agentDirectory: AGENT_DIRECTORY,
    hostRoot: root,
    kvmUsable: false,
    log: pino({ level: "silent" }),
  });
});

afterEach(async () => {
  await manager.stop();
  kubelet.stop();
  await rm(root, { recursive: true });
});

const both = () =>
  kubelet.registered.has("virtpod.io/launcher") && kubelet.registered.has("devices.kubevirt.io/tun");

test("plugins register, are called back while they do, and list their devices", {
  timeout: 60_000,
}, async () => {
  await kubelet.start();
  await manager.start();
  await kubelet.until(both);
  assert.deepEqual([...kubelet.registered.keys()].sort(), ["devices.kubevirt.io/tun", "virtpod.io/launcher"]);
  assert.equal(kubelet.registered.get("devices.kubevirt.io/tun")?.devices.length, 1000);
  assert.ok(
    kubelet.registered.get("virtpod.io/launcher")?.devices.every(({ health }) => health === "Healthy"),
  );
});

test("an allocation gives each container the device and the agent's directory", {
  timeout: 60_000,
}, async () => {
  await kubelet.start();
  await manager.start();
  await kubelet.until(both);
  const { client } = kubelet.registered.get("devices.kubevirt.io/tun") as Registered;
  const response = await new Promise((resolve, reject) => {
    client["Allocate"]?.(
      { container_requests: [{ devices_ids: ["tun3"] }] },
      (error: Error | null, value: unknown) => (error === null ? resolve(value) : reject(error)),
    );
  });
  assert.deepEqual(response, {
    container_responses: [
      {
        envs: {},
        annotations: {},
        mounts: [{ container_path: "/run/virtpod/agent", host_path: AGENT_DIRECTORY, read_only: true }],
        devices: [{ container_path: "/dev/net/tun", host_path: "/dev/net/tun", permissions: "rw" }],
      },
    ],
  });
});

test("a killed and restarted kubelet gets every plugin again", { timeout: 60_000 }, async () => {
  await kubelet.start();
  await manager.start();
  await kubelet.until(both);
  await kubelet.kill();
  await kubelet.start();
  await kubelet.until(both);
  assert.equal(kubelet.calls.filter((call) => call === "Register virtpod.io/launcher").length, 2);
});

test("plugins wait for a kubelet that starts later", { timeout: 60_000 }, async () => {
  await manager.start();
  await kubelet.start();
  await kubelet.until(both);
});

test("a registration that fails is tried again", { timeout: 60_000 }, async () => {
  // A leftover file where the kubelet's socket will be: connecting to it is refused.
  await writeFile(join(kubelet.directory, "kubelet.sock"), "");
  await manager.start();
  await kubelet.start();
  await kubelet.until(both);
});

test("a kubelet that takes connections and says nothing is tried again", { timeout: 60_000 }, async () => {
  const taken: Socket[] = [];
  const silent = createServer((socket) => taken.push(socket)).listen(join(kubelet.directory, "kubelet.sock"));
  await once(silent, "listening");
  // Through its deadline, while what it made of sockets has another round wait for it.
  await manager.start();
  silent.close();
  for (const socket of taken) socket.destroy();
  await kubelet.start();
  await kubelet.until(both);
});

test("devices turn unhealthy when the node loses them, and healthy again", { timeout: 60_000 }, async () => {
  await kubelet.start();
  await manager.start();
  await kubelet.until(both);
  const tunHealth = () => kubelet.registered.get("devices.kubevirt.io/tun")?.devices[0]?.health;
  const lookAgain = () => utimes(join(kubelet.directory, "kubelet.sock"), new Date(), new Date());
  await rm(join(root, "dev/net/tun"));
  await lookAgain();
  await kubelet.until(() => tunHealth() === "Unhealthy");
  await writeFile(join(root, "dev/net/tun"), "");
  await lookAgain();
  await kubelet.until(() => tunHealth() === "Healthy");
});

test("stopping ends the streams and removes the sockets", { timeout: 60_000 }, async () => {
  await kubelet.start();
  await manager.start();
  await kubelet.until(both);
  await manager.stop();
  await kubelet.until(() => kubelet.registered.size === 0);
  assert.deepEqual(await readdir(kubelet.directory), ["kubelet.sock"]);
});
