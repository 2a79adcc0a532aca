import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { loadSync, type ServiceDefinition } from "@grpc/proto-loader";
import fc from "fast-check";
import { AgentError } from "../errors.ts";
import {
  allocateRequestCodec,
  allocateResponseCodec,
  type Codec,
  devicePluginService,
  listAndWatchResponseCodec,
  optionsCodec,
  registerRequestCodec,
  registrationService,
} from "./protocol.ts";

const reference = loadSync(join(import.meta.dirname, "v1beta1.proto"), { keepCase: true, defaults: true });
const referencePlugin = reference["v1beta1.DevicePlugin"] as ServiceDefinition;
const referenceRegistration = reference["v1beta1.Registration"] as ServiceDefinition;

test("both services have the paths and directions of the published definition", () => {
  for (const [ours, theirs] of [
    [devicePluginService, referencePlugin],
    [registrationService, referenceRegistration],
  ] as const) {
    const shape = (service: object) =>
      Object.entries(service).map(([name, m]) => [name, m.path, m.requestStream, m.responseStream]);
    assert.deepEqual(shape(ours), shape(theirs));
  }
});

test("a registration is understood by an independent implementation", () => {
  const bytes = registerRequestCodec.encode({
    version: "v1beta1",
    endpoint: "virtpod-tun.sock",
    resourceName: "devices.kubevirt.io/tun",
    options: { preStartRequired: false, getPreferredAllocationAvailable: true },
  });
  assert.deepEqual(referenceRegistration["Register"]?.requestDeserialize(bytes), {
    version: "v1beta1",
    endpoint: "virtpod-tun.sock",
    resource_name: "devices.kubevirt.io/tun",
    options: { pre_start_required: false, get_preferred_allocation_available: true },
  });
});

test("a list of devices is understood by an independent implementation", () => {
  const bytes = listAndWatchResponseCodec.encode({
    devices: [
      { id: "tun0", healthy: true },
      { id: "tun1", healthy: false },
    ],
  });
  assert.deepEqual(referencePlugin["ListAndWatch"]?.responseDeserialize(bytes), {
    devices: [
      { ID: "tun0", health: "Healthy", topology: null },
      { ID: "tun1", health: "Unhealthy", topology: null },
    ],
  });
});

test("an allocation is understood by an independent implementation", () => {
  const bytes = allocateResponseCodec.encode({
    containers: [
      {
        mounts: [{ containerPath: "/run/a", hostPath: "/var/a", readOnly: true }],
        devices: [{ containerPath: "/dev/net/tun", hostPath: "/dev/net/tun", permissions: "rw" }],
      },
      { mounts: [], devices: [] },
    ],
  });
  assert.deepEqual(referencePlugin["Allocate"]?.responseDeserialize(bytes), {
    container_responses: [
      {
        envs: {},
        annotations: {},
        mounts: [{ container_path: "/run/a", host_path: "/var/a", read_only: true }],
        devices: [{ container_path: "/dev/net/tun", host_path: "/dev/net/tun", permissions: "rw" }],
      },
      { envs: {}, annotations: {}, mounts: [], devices: [] },
    ],
  });
});

test("requests written by an independent implementation are read", () => {
  const bytes = referencePlugin["Allocate"]?.requestSerialize({
    container_requests: [{ devices_ids: ["kvm1", "kvm27"] }, { devices_ids: [] }],
  });
  assert.deepEqual(allocateRequestCodec.decode(bytes ?? Buffer.alloc(0)), {
    containers: [{ deviceIds: ["kvm1", "kvm27"] }, { deviceIds: [] }],
  });
});

test("fields of later API versions are skipped", () => {
  const known = optionsCodec.encode({ preStartRequired: true, getPreferredAllocationAvailable: true });
  const varintField200 = Buffer.from([0xc0, 0x0c, 0xff, 0x7f]);
  const fixed64Field9 = Buffer.from([0x49, 1, 2, 3, 4, 5, 6, 7, 8]);
  const fixed32Field9 = Buffer.from([0x4d, 1, 2, 3, 4]);
  assert.deepEqual(
    optionsCodec.decode(Buffer.concat([varintField200, fixed64Field9, fixed32Field9, known])),
    { preStartRequired: true, getPreferredAllocationAvailable: true },
  );
});

test("what was encoded is decoded", () => {
  const plain = { noNullPrototype: true };
  const text = fc.string({ maxLength: 300 }).filter((s) => s.isWellFormed());
  const mount = fc.record({ containerPath: text, hostPath: text, readOnly: fc.boolean() }, plain);
  const device = fc.record({ containerPath: text, hostPath: text, permissions: text }, plain);
  const container = fc.record({ mounts: fc.array(mount), devices: fc.array(device) }, plain);
  fc.assert(
    fc.property(fc.record({ containers: fc.array(container) }, plain), (response) => {
      assert.deepEqual(allocateResponseCodec.decode(allocateResponseCodec.encode(response)), response);
    }),
  );
});

test("no bytes break a decoder in any other way than by its own error", () => {
  const codecs: readonly Codec<unknown>[] = [
    registerRequestCodec as Codec<unknown>,
    allocateRequestCodec as Codec<unknown>,
    listAndWatchResponseCodec as Codec<unknown>,
  ];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.constantFrom(...codecs), (bytes, codec) => {
      try {
        codec.decode(Buffer.from(bytes));
      } catch (error) {
        assert.ok(error instanceof AgentError && error.code === "MalformedMessage");
      }
    }),
  );
});
