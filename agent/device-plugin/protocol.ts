/** The kubelet's device plugin API v1beta1: messages, their encoding, and the two gRPC services. */
import type { ServiceDefinition } from "@grpc/grpc-js";
import { boolField, type Field, fields, messageField, stringField } from "./wire.ts";

export const API_VERSION = "v1beta1";
/** The kubelet's constant, whatever its --root-dir. */
export const DEVICE_PLUGIN_DIRECTORY = "/var/lib/kubelet/device-plugins";
/** The kubelet's own socket in the device plugin directory. */
export const KUBELET_SOCKET = "kubelet.sock";

export type Empty = Readonly<Record<never, never>>;

export interface RegisterRequest {
  readonly version: string;
  /** Name of the plugin's socket file in the device plugin directory, without a folder. */
  readonly endpoint: string;
  readonly resourceName: string;
  readonly options: DevicePluginOptions;
}

export interface DevicePluginOptions {
  readonly preStartRequired: boolean;
  readonly getPreferredAllocationAvailable: boolean;
}

export interface Device {
  /** At most 63 characters. */
  readonly id: string;
  readonly healthy: boolean;
}

export interface ListAndWatchResponse {
  readonly devices: readonly Device[];
}

export interface AllocateRequest {
  /** One entry per container: the IDs of the devices it gets. The kubelet tells no pod. */
  readonly containers: readonly { readonly deviceIds: readonly string[] }[];
}

export interface ContainerAllocation {
  readonly mounts: readonly MountSpec[];
  readonly devices: readonly DeviceSpec[];
}

export interface MountSpec {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
}

export interface DeviceSpec {
  readonly containerPath: string;
  readonly hostPath: string;
  /** cgroup permissions: any of `r`, `w`, `m`. */
  readonly permissions: string;
}

export interface AllocateResponse {
  readonly containers: readonly ContainerAllocation[];
}

/** What both ends need to know of one message type. */
export interface Codec<T> {
  encode(message: T): Buffer;
  decode(bytes: Buffer): T;
}

export const emptyCodec: Codec<Empty> = {
  encode: () => Buffer.alloc(0),
  decode: () => ({}),
};

export const optionsCodec: Codec<DevicePluginOptions> = {
  encode: (options) =>
    Buffer.concat([
      boolField(1, options.preStartRequired),
      boolField(2, options.getPreferredAllocationAvailable),
    ]),
  decode: (bytes) => {
    const all = [...fields(bytes)];
    return { preStartRequired: bool(all, 1), getPreferredAllocationAvailable: bool(all, 2) };
  },
};

export const registerRequestCodec: Codec<RegisterRequest> = {
  encode: (request) =>
    Buffer.concat([
      stringField(1, request.version),
      stringField(2, request.endpoint),
      stringField(3, request.resourceName),
      messageField(4, optionsCodec.encode(request.options)),
    ]),
  decode: (bytes) => {
    const all = [...fields(bytes)];
    return {
      version: text(all, 1),
      endpoint: text(all, 2),
      resourceName: text(all, 3),
      options: optionsCodec.decode(repeated(all, 4).at(-1) ?? Buffer.alloc(0)),
    };
  },
};

const HEALTHY = "Healthy";
const UNHEALTHY = "Unhealthy";

export const listAndWatchResponseCodec: Codec<ListAndWatchResponse> = {
  encode: (response) =>
    Buffer.concat(
      response.devices.map((device) =>
        messageField(
          1,
          Buffer.concat([stringField(1, device.id), stringField(2, device.healthy ? HEALTHY : UNHEALTHY)]),
        ),
      ),
    ),
  decode: (bytes) => ({
    devices: repeated([...fields(bytes)], 1).map((device) => {
      const all = [...fields(device)];
      return { id: text(all, 1), healthy: text(all, 2) === HEALTHY };
    }),
  }),
};

export const allocateRequestCodec: Codec<AllocateRequest> = {
  encode: (request) =>
    Buffer.concat(
      request.containers.map(({ deviceIds }) =>
        messageField(1, Buffer.concat(deviceIds.map((id) => stringField(1, id)))),
      ),
    ),
  decode: (bytes) => ({
    containers: repeated([...fields(bytes)], 1).map((container) => ({
      deviceIds: repeated([...fields(container)], 1).map((id) => id.toString("utf8")),
    })),
  }),
};

export const allocateResponseCodec: Codec<AllocateResponse> = {
  encode: (response) =>
    Buffer.concat(
      response.containers.map(({ mounts, devices }) =>
        messageField(
          1,
          Buffer.concat([
            ...mounts.map((mount) => messageField(2, encodeMount(mount))),
            ...devices.map((device) => messageField(3, encodeDevice(device))),
          ]),
        ),
      ),
    ),
  decode: (bytes) => ({
    containers: repeated([...fields(bytes)], 1).map((container) => {
      const all = [...fields(container)];
      return { mounts: repeated(all, 2).map(decodeMount), devices: repeated(all, 3).map(decodeDevice) };
    }),
  }),
};

/** Served by the kubelet. */
export const registrationService = {
  Register: {
    path: "/v1beta1.Registration/Register",
    requestStream: false,
    responseStream: false,
    requestSerialize: registerRequestCodec.encode,
    requestDeserialize: registerRequestCodec.decode,
    responseSerialize: emptyCodec.encode,
    responseDeserialize: emptyCodec.decode,
  },
} as const satisfies ServiceDefinition;

/**
 * Served by a plugin. GetPreferredAllocation and PreStartContainer are left out: the kubelet calls them only where
 * the options ask for it.
 */
export const devicePluginService = {
  GetDevicePluginOptions: {
    path: "/v1beta1.DevicePlugin/GetDevicePluginOptions",
    requestStream: false,
    responseStream: false,
    requestSerialize: emptyCodec.encode,
    requestDeserialize: emptyCodec.decode,
    responseSerialize: optionsCodec.encode,
    responseDeserialize: optionsCodec.decode,
  },
  ListAndWatch: {
    path: "/v1beta1.DevicePlugin/ListAndWatch",
    requestStream: false,
    responseStream: true,
    requestSerialize: emptyCodec.encode,
    requestDeserialize: emptyCodec.decode,
    responseSerialize: listAndWatchResponseCodec.encode,
    responseDeserialize: listAndWatchResponseCodec.decode,
  },
  Allocate: {
    path: "/v1beta1.DevicePlugin/Allocate",
    requestStream: false,
    responseStream: false,
    requestSerialize: allocateRequestCodec.encode,
    requestDeserialize: allocateRequestCodec.decode,
    responseSerialize: allocateResponseCodec.encode,
    responseDeserialize: allocateResponseCodec.decode,
  },
} as const satisfies ServiceDefinition;

function encodeMount(mount: MountSpec): Buffer {
  return Buffer.concat([
    stringField(1, mount.containerPath),
    stringField(2, mount.hostPath),
    boolField(3, mount.readOnly),
  ]);
}

function decodeMount(bytes: Buffer): MountSpec {
  const all = [...fields(bytes)];
  return { containerPath: text(all, 1), hostPath: text(all, 2), readOnly: bool(all, 3) };
}

function encodeDevice(device: DeviceSpec): Buffer {
  return Buffer.concat([
    stringField(1, device.containerPath),
    stringField(2, device.hostPath),
    stringField(3, device.permissions),
  ]);
}

function decodeDevice(bytes: Buffer): DeviceSpec {
  const all = [...fields(bytes)];
  return { containerPath: text(all, 1), hostPath: text(all, 2), permissions: text(all, 3) };
}

function repeated(all: readonly Field[], number: number): Buffer[] {
  return all.filter((field) => field.number === number).map((field) => field.bytes);
}

/** The last one wins where a scalar is sent twice. */
function text(all: readonly Field[], number: number): string {
  return repeated(all, number).at(-1)?.toString("utf8") ?? "";
}

function bool(all: readonly Field[], number: number): boolean {
  return all.findLast((field) => field.number === number)?.varint === 1;
}
