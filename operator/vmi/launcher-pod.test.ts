import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Accelerator } from "../../api/launch-spec.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { qcow2MaxBytes } from "../../lib/qcow2.ts";
import { OperatorError } from "../errors.ts";
import { instance } from "./instance.fixture.ts";
import { resolveLaunchSpec } from "./launch-spec.ts";
import { launcherPodName } from "./launcher-name.ts";
import { launcherPod } from "./launcher-pod.ts";

const MIB = 1024 * 1024;

function podOf(
  vmi: VirtualMachineInstance,
  accelerator: Accelerator = "kvm",
  imagePullSecrets: string[] = [],
) {
  return launcherPod(vmi, resolveLaunchSpec(vmi, accelerator), { image: "launcher:1", imagePullSecrets });
}

function containerOf(vmi: VirtualMachineInstance, accelerator: Accelerator = "kvm") {
  const [container, ...others] = podOf(vmi, accelerator).spec.containers;
  assert(container !== undefined && others.length === 0);
  return container;
}

const withDisks = instance({
  domain: {
    devices: { disks: [{ name: "root" }, { name: "data" }, { name: "fast" }] },
    firmware: {
      kernelBoot: { container: { image: "kernel:1", kernelPath: "/vmlinuz", imagePullSecret: "k" } },
    },
  },
  volumes: [
    { name: "root", containerDisk: { image: "disk:1", imagePullPolicy: "Always", imagePullSecret: "d" } },
    { name: "data", emptyDisk: { capacity: "1Gi" } },
    { name: "fast", emptyDisk: { capacity: "64Mi", medium: "Memory" } },
  ],
});

describe("a launcher pod", () => {
  it("has the kubelet ask the guest what its probes say", () => {
    const readinessProbe = { httpGet: { port: 80, path: "/healthy" }, periodSeconds: 2 };
    const livenessProbe = { tcpSocket: { port: "ssh" }, initialDelaySeconds: 60 };
    const container = containerOf(instance({ readinessProbe, livenessProbe }));
    assert.deepEqual(container.readinessProbe, readinessProbe);
    assert.deepEqual(container.livenessProbe, livenessProbe);
    assert.equal("readinessProbe" in containerOf(withDisks), false);
  });

  it("asks for nothing that Pod Security `restricted` refuses", () => {
    const { spec } = podOf(withDisks);
    const allowed = ["emptyDir", "image"];
    for (const { name: _, ...source } of spec.volumes ?? [])
      assert.deepEqual(
        Object.keys(source).filter((kind) => !allowed.includes(kind)),
        [],
      );
    const { securityContext } = spec;
    assert.equal(securityContext?.runAsNonRoot, true);
    assert.equal(securityContext?.runAsUser, 107);
    assert.deepEqual(securityContext?.seccompProfile, { type: "RuntimeDefault" });
    // The one sysctl is on the safe list of Kubernetes.
    assert.deepEqual(securityContext?.sysctls, [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }]);
    assert.deepEqual(containerOf(withDisks).securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    for (const field of ["hostNetwork", "hostPID", "hostIPC", "initContainers"])
      assert(!(field in spec), field);
    assert.equal(spec.automountServiceAccountToken, false);
  });

  it("is named after its VMI's UID, so that a second one can only be the same", () => {
    assert.equal(launcherPodName(instance()), launcherPodName(instance({ hostname: "other" })));
    assert.notEqual(launcherPodName(instance()), launcherPodName(instance({}, { uid: "another" })));
  });

  it("has a valid name and label even where the VMI's name is cut at a dot or hyphen", () => {
    for (const separator of [".", "-"]) {
      const named = (characters: number) =>
        podOf(instance({}, { name: `${"a".repeat(characters)}${separator}bc` }));
      assert.match(named(231).metadata.name ?? "", /^virt-launcher-a{231}-[0-9a-f]{5}$/);
      assert.equal(named(62).metadata.labels?.["vm.kubevirt.io/name"], "a".repeat(62));
    }
  });

  it("carries the VMI's labels and annotations, but for virtpod's own and kubectl's bookkeeping", () => {
    const { metadata } = podOf(
      instance(
        {},
        {
          labels: { app: "web", "kubevirt.io": "forged" },
          annotations: {
            note: "kept",
            "virtpod.io/started-template": "{}",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
          },
        },
      ),
    );
    assert.deepEqual(metadata.labels, {
      app: "web",
      "kubevirt.io": "virt-launcher",
      "kubevirt.io/created-by": "11111111-2222-4333-8444-555555555555",
      "vm.kubevirt.io/name": "tiny",
      "vmi.kubevirt.io/id": "tiny",
    });
    assert.deepEqual(Object.keys(metadata.annotations ?? {}).sort(), [
      "kubectl.kubernetes.io/default-container",
      "kubevirt.io/domain",
      "note",
    ]);
    assert.deepEqual(metadata.finalizers, ["virtpod.io/domain-end"]);
    assert.equal(metadata.ownerReferences?.[0]?.controller, true);
  });

  it("mounts images read-only, and bounds what is written", () => {
    const { volumes = [] } = podOf(withDisks).spec;
    const mounts = new Map(containerOf(withDisks).volumeMounts?.map((mount) => [mount.name, mount]));
    const seen = volumes.map((volume) => [
      mounts.get(volume.name)?.mountPath,
      mounts.get(volume.name)?.readOnly,
    ]);
    assert.deepEqual(seen, [
      ["/run/virtpod/runtime", undefined],
      ["/run/virtpod/scratch", undefined],
      ["/run/virtpod/kernel-boot", true],
      ["/run/virtpod/volumes/root", true],
      ["/run/virtpod/volumes/data", undefined],
      ["/run/virtpod/volumes/fast", undefined],
    ]);
    assert.deepEqual(volumes[3]?.image, { reference: "disk:1", pullPolicy: "Always" });
    const limit = (bytes: number) => `${Math.ceil(qcow2MaxBytes(bytes) / MIB)}Mi`;
    assert.deepEqual(volumes[4]?.emptyDir, { sizeLimit: limit(1024 * MIB) });
    assert.deepEqual(volumes[5]?.emptyDir, { sizeLimit: limit(64 * MIB), medium: "Memory" });
  });

  it("may be pulled with the installation's secrets and the VMI's, each named once", () => {
    const { imagePullSecrets } = podOf(withDisks, "kvm", ["own", "d"]).spec;
    assert.deepEqual(
      imagePullSecrets?.map(({ name }) => name),
      ["own", "d", "k"],
    );
    assert.equal(podOf(instance()).spec.imagePullSecrets, undefined);
  });

  it("tells the ports that the interface lists", () => {
    const vmi = instance({
      domain: {
        devices: {
          interfaces: [
            {
              name: "default",
              ports: [
                { port: 80, name: "http" },
                { port: 53, protocol: "UDP" },
              ],
            },
          ],
        },
      },
      networks: [{ name: "default", pod: {} }],
    });
    assert.deepEqual(containerOf(vmi).ports, [
      { containerPort: 80, protocol: "TCP", name: "http" },
      { containerPort: 53, protocol: "UDP" },
    ]);
    assert.equal(containerOf(instance()).ports, undefined);
  });

  it("has 15 s more to end than its guest", () => {
    assert.equal(podOf(instance()).spec.terminationGracePeriodSeconds, 45);
    assert.equal(
      podOf(instance({ terminationGracePeriodSeconds: 0 })).spec.terminationGracePeriodSeconds,
      15,
    );
  });

  it("is refused with its size when the spec doesn't fit into an environment", () => {
    const vmi = instance();
    const launch = { ...resolveLaunchSpec(vmi, "kvm"), hostname: "x".repeat(128 * 1024) };
    assert.throws(
      () => launcherPod(vmi, launch, { image: "i", imagePullSecrets: [] }),
      (error) =>
        error instanceof OperatorError &&
        error.code === "LaunchSpecTooLarge" &&
        /\d{6} bytes/.test(error.message),
    );
  });
});

describe("the resources of a launcher pod", () => {
  const resources = (vmi: VirtualMachineInstance, accelerator?: Accelerator) =>
    containerOf(vmi, accelerator).resources;
  const devices = {
    "virtpod.io/launcher": "1",
    "devices.kubevirt.io/tun": "1",
    "devices.kubevirt.io/kvm": "1",
  };
  const mebibytes = (text: string | undefined) => Number(/^(\d+)Mi$/.exec(text ?? "")?.[1]);

  it("are a tenth of a CPU per vCPU, the guest's memory with its overhead, and its devices", () => {
    const { requests, limits } = resources(instance({ domain: { cpu: { cores: 2, sockets: 2 } } })) ?? {};
    assert.equal(requests?.["cpu"], "400m");
    assert.deepEqual(limits, devices);
    assert(mebibytes(requests?.["memory"]) - 128 <= 120, requests?.["memory"]);
  });

  it("of the smallest guest stay within 110 MiB beside its memory", () => {
    assert(mebibytes(resources(instance())?.requests?.["memory"]) <= 128 + 110);
  });

  it("follow requests and limits, with the overhead on top of both", () => {
    const domain = {
      memory: { guest: "256Mi" },
      resources: { requests: { cpu: "250m", memory: "192Mi" }, limits: { cpu: 2, memory: "256Mi" } },
    };
    const { requests, limits } = resources(instance({ domain })) ?? {};
    assert.deepEqual([requests?.["cpu"], limits?.["cpu"]], ["250m", "2"]);
    const [requested, limit] = [mebibytes(requests?.["memory"]), mebibytes(limits?.["memory"])];
    assert.equal(limit - requested, 64);
  });

  it("have the node's disk that is asked for, with room for logs, and none unless it is asked for", () => {
    const requests = { "ephemeral-storage": "1Gi" };
    const asked = resources(
      instance({ domain: { resources: { requests, limits: { "ephemeral-storage": 2e9 } } } }),
    );
    assert.equal(asked?.requests?.["ephemeral-storage"], String(1024 ** 3 + 50_000_000));
    assert.equal(asked?.limits?.["ephemeral-storage"], "2050000000");
    assert.equal(resources(instance())?.limits?.["ephemeral-storage"], undefined);
  });

  it("have no kvm under emulation, but its translation cache; no tun without a network", () => {
    const emulated = resources(instance(), "tcg");
    assert.equal(emulated?.limits?.["devices.kubevirt.io/kvm"], undefined);
    const more =
      mebibytes(emulated?.requests?.["memory"]) - mebibytes(resources(instance())?.requests?.["memory"]);
    assert.equal(more, 64);
    const alone = instance({ domain: { devices: { autoattachPodInterface: false } } });
    assert.equal(resources(alone)?.limits?.["devices.kubevirt.io/tun"], undefined);
  });

  it("count an emptyDisk in memory, and none on the node's disk", () => {
    const disk = (medium: "" | "Memory") =>
      instance({
        domain: { devices: { disks: [{ name: "d" }] } },
        volumes: [{ name: "d", emptyDisk: { capacity: "100Mi", medium } }],
      });
    const requested = (vmi: VirtualMachineInstance) => mebibytes(resources(vmi)?.requests?.["memory"]);
    assert.equal(requested(disk("")), requested(instance()));
    assert(requested(disk("Memory")) - requested(disk("")) >= 100);
  });
});
