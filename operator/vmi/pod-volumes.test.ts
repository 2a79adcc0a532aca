import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Volume } from "../../api/volumes.ts";
import type { ClaimFacts } from "./claims.ts";
import { instance } from "./instance.fixture.ts";
import { resolveLaunchSpec } from "./launch-spec.ts";
import { podStorage, tmpfsBytes } from "./pod-volumes.ts";

const MIB = 1024 * 1024;
const claim = (volumeMode: "Filesystem" | "Block"): ClaimFacts => ({
  phase: "Bound",
  volumeMode,
  accessModes: ["ReadWriteMany"],
  capacityBytes: MIB,
});
const CLAIMS = new Map([
  ["files", claim("Filesystem")],
  ["raw", claim("Block")],
]);

function storageOf(vmi: VirtualMachineInstance) {
  return podStorage(vmi, resolveLaunchSpec(vmi, "kvm", CLAIMS));
}

const withVolumes = (volumes: readonly Volume[], disk: object = {}) =>
  instance({ domain: { devices: { disks: volumes.map(({ name }) => ({ name, ...disk })) } }, volumes });

/** What the pod has for one volume: where it is from, where it is, and whether it can't be written. */
function mounted(source: Omit<Volume, "name">, disk: object = {}) {
  const { volumes, mounts, devices } = storageOf(withVolumes([{ name: "d", ...source }], disk));
  return volumes
    .filter(({ name }) => name.startsWith("volume-"))
    .map(({ name, ...from }) => {
      const mount = mounts.find((one) => one.name === name);
      const device = devices.find((one) => one.name === name);
      return [from, mount?.mountPath ?? device?.devicePath, mount?.readOnly ?? false];
    });
}

const DIRECTORY = "/run/virtpod/volumes/d";

describe("the pod's volumes", () => {
  const cases: readonly (readonly [string, Omit<Volume, "name">, object, unknown])[] = [
    [
      "a claim is mounted",
      { persistentVolumeClaim: { claimName: "files" } },
      {},
      [[{ persistentVolumeClaim: { claimName: "files" } }, DIRECTORY, false]],
    ],
    [
      "a block claim is a device",
      { persistentVolumeClaim: { claimName: "raw" } },
      {},
      [[{ persistentVolumeClaim: { claimName: "raw" } }, "/dev/virtpod/d", false]],
    ],
    [
      "a claim that is shown read-only is mounted so",
      { persistentVolumeClaim: { claimName: "files" } },
      { cdrom: {} },
      [[{ persistentVolumeClaim: { claimName: "files", readOnly: true } }, DIRECTORY, true]],
    ],
    [
      "a claim below an overlay is mounted read-only",
      { ephemeral: { persistentVolumeClaim: { claimName: "files" } } },
      {},
      [[{ persistentVolumeClaim: { claimName: "files", readOnly: true } }, DIRECTORY, true]],
    ],
    [
      "a block claim below an overlay is a read-only device",
      { ephemeral: { persistentVolumeClaim: { claimName: "raw" } } },
      {},
      [[{ persistentVolumeClaim: { claimName: "raw", readOnly: true } }, "/dev/virtpod/d", false]],
    ],
    [
      "a file of the node's is mounted alone",
      { hostDisk: { path: "/srv/a.img", type: "Disk" } },
      {},
      [[{ hostPath: { path: "/srv/a.img", type: "File" } }, `${DIRECTORY}/disk.img`, false]],
    ],
    [
      "a file that may have to be made is mounted with its directory",
      { hostDisk: { path: "/srv/a.img", type: "DiskOrCreate", capacity: "1Gi" } },
      {},
      [[{ hostPath: { path: "/srv", type: "DirectoryOrCreate" } }, DIRECTORY, false]],
    ],
    ["inline cloud-init mounts nothing", { cloudInitNoCloud: { userData: "x" } }, {}, []],
    [
      "cloud-init's Secrets are mounted side by side",
      { cloudInitConfigDrive: { secretRef: { name: "u" }, networkDataSecretRef: { name: "n" } } },
      {},
      [
        [{ secret: { secretName: "u" } }, `${DIRECTORY}/userdata`, true],
        [{ secret: { secretName: "n" } }, `${DIRECTORY}/networkdata`, true],
      ],
    ],
    [
      "a ConfigMap that may be missing",
      { configMap: { name: "c", optional: true } },
      {},
      [[{ configMap: { name: "c", optional: true } }, DIRECTORY, true]],
    ],
    ["a Secret", { secret: { secretName: "s" } }, {}, [[{ secret: { secretName: "s" } }, DIRECTORY, true]]],
    [
      "answer files",
      { sysprep: { configMap: { name: "c" } } },
      {},
      [[{ configMap: { name: "c" } }, DIRECTORY, true]],
    ],
    [
      "fields of the pod",
      { downwardAPI: { fields: [{ path: "n", fieldRef: { fieldPath: "metadata.name" } }] } },
      {},
      [
        [
          { downwardAPI: { items: [{ path: "n", fieldRef: { fieldPath: "metadata.name" } }] } },
          DIRECTORY,
          true,
        ],
      ],
    ],
  ];
  for (const [claimed, source, disk, wanted] of cases) {
    it(claimed, () => assert.deepEqual(mounted(source, disk), wanted));
  }

  it("hold a service account's token, certificate and namespace, projected", () => {
    const [[from, path, readOnly] = []] = mounted({ serviceAccount: { serviceAccountName: "a" } });
    assert.deepEqual([path, readOnly], [DIRECTORY, true]);
    const { projected } = from as { projected: { sources: object[] } };
    assert.deepEqual(
      projected.sources.map((source) => Object.keys(source)[0]),
      ["serviceAccountToken", "configMap", "downwardAPI"],
    );
  });

  it("have room for overlays only where there is one", () => {
    const names = (volume: Volume) => storageOf(withVolumes([volume])).volumes.map(({ name }) => name);
    const ephemeral: Volume = { name: "d", ephemeral: { persistentVolumeClaim: { claimName: "raw" } } };
    assert(names(ephemeral).includes("scratch"));
    assert(!names({ name: "d", emptyDisk: { capacity: "1Gi" } }).includes("scratch"));
  });

  it("hold the Secrets of access credentials, numbered", () => {
    const secret = (secretName: string) => ({ source: { secret: { secretName } } });
    const vmi = instance({
      accessCredentials: [
        { sshPublicKey: { ...secret("keys"), propagationMethod: { qemuGuestAgent: { users: ["debian"] } } } },
        { userPassword: { ...secret("passwords"), propagationMethod: { qemuGuestAgent: {} } } },
        { sshPublicKey: { ...secret("more"), propagationMethod: { noCloud: {} } } },
      ],
    });
    const { volumes, mounts } = storageOf(vmi);
    assert.deepEqual(
      volumes.slice(1).map(({ name, secret: from }) => [name, from?.secretName]),
      [
        ["credential-0", "keys"],
        ["credential-1", "passwords"],
        ["credential-2", "more"],
      ],
    );
    assert.deepEqual(
      mounts.slice(1).map(({ mountPath, readOnly }) => [mountPath, readOnly]),
      [0, 1, 2].map((index) => [`/run/virtpod/credentials/${index}`, true]),
    );
    assert.deepEqual(resolveLaunchSpec(vmi, "kvm").accessCredentials, [
      {
        kind: "sshPublicKey",
        directory: "/run/virtpod/credentials/0",
        propagation: "qemuGuestAgent",
        users: ["debian"],
      },
      { kind: "userPassword", directory: "/run/virtpod/credentials/1", propagation: "qemuGuestAgent" },
      { kind: "sshPublicKey", directory: "/run/virtpod/credentials/2", propagation: "noCloud", users: [] },
    ]);
  });
});

describe("the memory of ISO images", () => {
  const bytes = (vmi: VirtualMachineInstance) => tmpfsBytes(vmi, resolveLaunchSpec(vmi, "kvm"));

  it("is a mebibyte each, and one for each object that goes into it", () => {
    assert.equal(bytes(instance()), 0);
    assert.equal(bytes(withVolumes([{ name: "a", cloudInitNoCloud: { userData: "x" } }])), MIB);
    assert.equal(
      bytes(withVolumes([{ name: "a", cloudInitNoCloud: { secretRef: { name: "s" } } }])),
      2 * MIB,
    );
    assert.equal(bytes(withVolumes([{ name: "a", configMap: { name: "c" } }])), 2 * MIB);
  });

  it("is what the runtime's tmpfs has more", () => {
    const limit = (vmi: VirtualMachineInstance) => storageOf(vmi).volumes[0]?.emptyDir?.sizeLimit;
    assert.equal(limit(instance()), "32Mi");
    assert.equal(limit(withVolumes([{ name: "a", secret: { secretName: "s" } }])), "34Mi");
  });
});
