import assert from "node:assert/strict";
import { test } from "node:test";
import { DEVICE_KVM, DEVICE_LAUNCHER, DEVICE_TUN, DEVICE_VHOST_NET } from "../../api/names.ts";
import { allocate, DEVICES_PER_RESOURCE, devicesOf, isAvailable, PLUGIN_RESOURCES } from "./resources.ts";

function available(kvmUsable: boolean, ...devicePaths: string[]): string[] {
  const node = { kvmUsable, devicePaths: new Set(devicePaths) };
  return PLUGIN_RESOURCES.filter((resource) => isAvailable(resource, node)).map(({ name }) => name);
}

test("a node without any device still offers launchers", () => {
  assert.deepEqual(available(false), [DEVICE_LAUNCHER]);
});

test("/dev/kvm alone is not enough: a probe guest must have run", () => {
  assert.deepEqual(available(false, "/dev/kvm", "/dev/net/tun"), [DEVICE_LAUNCHER, DEVICE_TUN]);
  assert.deepEqual(available(true, "/dev/net/tun"), [DEVICE_LAUNCHER, DEVICE_TUN]);
});

test("a node with everything offers everything", () => {
  assert.deepEqual(available(true, "/dev/kvm", "/dev/net/tun", "/dev/vhost-net"), [
    DEVICE_LAUNCHER,
    DEVICE_KVM,
    DEVICE_TUN,
    DEVICE_VHOST_NET,
  ]);
});

test("device IDs are distinct and within the kubelet's 63 characters", () => {
  for (const resource of PLUGIN_RESOURCES) {
    const ids = devicesOf(resource, true).map(({ id }) => id);
    assert.equal(new Set(ids).size, DEVICES_PER_RESOURCE);
    assert.ok(ids.every((id) => id.length <= 63));
  }
});

test("every resource brings the same read-only mount, and only its own device", () => {
  for (const resource of PLUGIN_RESOURCES) {
    const { mounts, devices } = allocate(resource, "/var/lib/virtpod/agent/socket");
    assert.deepEqual(mounts, [
      { containerPath: "/run/virtpod/agent", hostPath: "/var/lib/virtpod/agent/socket", readOnly: true },
    ]);
    assert.deepEqual(
      devices.map(({ hostPath }) => hostPath),
      resource.devicePath === undefined ? [] : [resource.devicePath],
    );
  }
});
