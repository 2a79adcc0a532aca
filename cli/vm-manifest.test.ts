import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type VmOptions, vmManifest } from "./vm-manifest.ts";

const OPTIONS: VmOptions = {
  name: "web",
  runStrategy: "Always",
  terminationGracePeriod: 180,
  memory: "512Mi",
};

interface Manifest {
  readonly metadata: object;
  readonly spec: {
    readonly runStrategy: string;
    readonly template: {
      readonly spec: {
        readonly domain: { readonly devices: { readonly disks?: readonly object[] } };
        readonly volumes?: readonly Readonly<Record<string, unknown>>[];
        readonly accessCredentials?: readonly object[];
      };
    };
  };
}

const make = (options: Partial<VmOptions> = {}) => vmManifest({ ...OPTIONS, ...options }) as Manifest;
const spec = (options: Partial<VmOptions>) => make(options).spec.template.spec;

test("a machine without disks has what its flags say and nothing else", () => {
  assert.deepEqual(make({ namespace: "demo", runStrategy: "halted" }), {
    apiVersion: "kubevirt.io/v1",
    kind: "VirtualMachine",
    metadata: { name: "web", namespace: "demo" },
    spec: {
      runStrategy: "Halted",
      template: {
        spec: {
          terminationGracePeriodSeconds: 180,
          domain: { memory: { guest: "512Mi" }, devices: {} },
        },
      },
    },
  });
});

test("every volume has a disk of its name", () => {
  const { domain, volumes } = spec({
    volumeContainerdisk: ["src:registry.example/debian:13", "src:tools,name:tools,bootorder:2"],
    volumePvc: ["src:data,bootorder:1"],
    volumeSysprep: "src:answers,type:secret",
  });
  assert.deepEqual(volumes, [
    { name: "web-containerdisk-0", containerDisk: { image: "registry.example/debian:13" } },
    { name: "tools", containerDisk: { image: "tools" } },
    { name: "data", persistentVolumeClaim: { claimName: "data" } },
    { name: "sysprepdisk", sysprep: { secret: { name: "answers" } } },
  ]);
  assert.deepEqual(domain.devices.disks, [
    { name: "web-containerdisk-0", disk: { bus: "virtio" } },
    { name: "tools", disk: { bus: "virtio" }, bootOrder: 2 },
    { name: "data", disk: { bus: "virtio" }, bootOrder: 1 },
    { name: "sysprepdisk", cdrom: { bus: "sata" } },
  ]);
});

describe("cloud-init", () => {
  test("has user, password and keys, whatever characters they have", () => {
    const { volumes } = spec({ user: "y", password: "a: #b", sshKey: ["ssh-ed25519 AAAA me@here"] });
    const userData = [
      "#cloud-config",
      // A boolean to cloud-init, unless it is quoted.
      'user: "y"',
      'password: "a: #b"',
      "chpasswd:",
      "  expire: false",
      "ssh_authorized_keys:",
      "  - ssh-ed25519 AAAA me@here",
      "",
    ].join("\n");
    assert.deepEqual(volumes, [{ name: "cloudinitdisk", cloudInitNoCloud: { userData } }]);
  });
  test("is made of what the person brings", () => {
    const { volumes } = spec({
      cloudInit: "configdrive",
      cloudInitUserData: "I2Nsb3VkLWNvbmZpZwo=",
      cloudInitNetworkData: "e30K",
    });
    const source = { userDataBase64: "I2Nsb3VkLWNvbmZpZwo=", networkDataBase64: "e30K" };
    assert.deepEqual(volumes, [{ name: "cloudinitdisk", cloudInitConfigDrive: source }]);
  });
  test("is not there unless it is asked for", () => {
    assert.equal(spec({}).volumes, undefined);
    assert.equal(spec({ cloudInit: "none" }).volumes, undefined);
    assert.deepEqual(spec({ cloudInit: "nocloud" }).volumes, [
      { name: "cloudinitdisk", cloudInitNoCloud: { userData: "#cloud-config\n" } },
    ]);
  });
});

describe("access credentials", () => {
  const source = { secret: { secretName: "keys" } };
  test("go by the agent, which is then allowed to write them", () => {
    const { accessCredentials, volumes } = spec({ user: "me", accessCred: ["src:keys"] });
    const propagationMethod = { qemuGuestAgent: { users: ["me"] } };
    assert.deepEqual(accessCredentials, [{ sshPublicKey: { source, propagationMethod } }]);
    assert.match(JSON.stringify(volumes), /virt_qemu_ga_manage_ssh/);
  });
  test("go by cloud-init, which is then there", () => {
    const { accessCredentials, volumes } = spec({ accessCred: ["src:keys,method:configDrive"] });
    assert.deepEqual(accessCredentials, [
      { sshPublicKey: { source, propagationMethod: { configDrive: {} } } },
    ]);
    assert.ok(volumes?.[0]?.["cloudInitConfigDrive"]);
  });
  test("may be passwords", () => {
    const { accessCredentials } = spec({ accessCred: ["type:password,src:keys"] });
    const propagationMethod = { qemuGuestAgent: {} };
    assert.deepEqual(accessCredentials, [{ userPassword: { source, propagationMethod } }]);
  });
});

describe("refused is", () => {
  const refused: readonly (readonly [string, Partial<VmOptions>, RegExp])[] = [
    ["memory that is none", { memory: "lots" }, /--memory lots is no quantity/],
    ["a run strategy that is none", { runStrategy: "Sometimes" }, /--run-strategy is Always or/],
    ["a disk without source", { volumePvc: ["name:x"] }, /names no source/],
    ["a parameter without colon", { volumePvc: ["data"] }, /has no colon: write src:NAME/],
    [
      "an unknown parameter",
      { volumePvc: ["src:x,size:1Gi"] },
      /knows no size: there are src, name, bootorder/,
    ],
    ["a parameter given twice", { volumePvc: ["src:x,src:y"] }, /src is given twice/],
    ["two disks of one name", { volumePvc: ["src:x", "src:x"] }, /two volumes are named x/],
    ["a boot order given twice", { volumePvc: ["src:x,bootorder:1", "src:y,bootorder:1"] }, /given twice/],
    ["a boot order of 0", { volumePvc: ["src:x,bootorder:0"] }, /whole number from 1/],
    ["keys of nobody", { accessCred: ["src:keys"] }, /whose keys/],
    [
      "two ways of cloud-init",
      { cloudInit: "nocloud", accessCred: ["src:k,method:configdrive"] },
      /must agree/,
    ],
    ["two user data", { cloudInitUserData: "e30K", user: "me" }, /the whole of it/],
    ["user data that is no base64", { cloudInitUserData: "#cloud-config" }, /no base64/],
    ["flags without effect", { cloudInit: "none", user: "me" }, /without effect/],
  ];
  for (const [what, options, message] of refused)
    test(what, () => assert.throws(() => make(options), message));
});
