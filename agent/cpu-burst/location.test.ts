import assert from "node:assert/strict";
import { test } from "node:test";
import { locate } from "./location.ts";

const UID = "0f3b6c1e-8d2a-4f5b-9c7d-1e2f3a4b5c6d";
const SLICE_UID = UID.replaceAll("-", "_");
const ID = "a1".repeat(32);
const ROOT = "/host/sys/fs/cgroup";

/** A tree with these paths and everything above them. */
function tree(...paths: readonly string[]): (path: string) => boolean {
  return (path) => paths.some((one) => one === path || one.startsWith(`${path}/`));
}

test("cgroup v1, cgroupfs driver, each controller a hierarchy of its own", () => {
  const path = `kubepods/burstable/pod${UID}/${ID}`;
  const text = `9:memory:/${path}\n4:cpuset:/${path}\n3:cpuacct:/${path}\n2:cpu:/${path}\n0::/\n`;
  const mounted = ["memory", "cpuset", "cpuacct", "cpu"].map((name) => `${ROOT}/${name}/${path}`);
  assert.deepEqual(locate(ROOT, text, tree(...mounted)), {
    version: 1,
    container: `${ROOT}/cpu/${path}`,
    pod: `${ROOT}/cpu/kubepods/burstable/pod${UID}`,
    accounting: `${ROOT}/cpuacct/${path}`,
    cpuset: `${ROOT}/cpuset/${path}`,
    memory: `${ROOT}/memory/${path}`,
  });
});

test("cgroup v1, systemd driver, cpu and cpuacct in one hierarchy", () => {
  const path = `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${SLICE_UID}.slice/cri-containerd-${ID}.scope`;
  const text = `5:cpu,cpuacct:/${path}\n0::/${path}\n`;
  const found = locate(ROOT, text, tree(`${ROOT}/cpu,cpuacct/${path}`));
  assert.equal(found?.version, 1);
  assert.equal(found?.container, `${ROOT}/cpu,cpuacct/${path}`);
  assert.equal(
    found?.pod,
    `${ROOT}/cpu,cpuacct/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${SLICE_UID}.slice`,
  );
  assert.equal(found?.accounting, found?.container);
  assert.equal(found?.memory, undefined);
});

const v2 = [
  ["cgroupfs driver", `kubepods/pod${UID}/${ID}`],
  ["systemd driver, containerd", `kubepods.slice/kubepods-pod${SLICE_UID}.slice/cri-containerd-${ID}.scope`],
  [
    "systemd driver, CRI-O",
    `kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${SLICE_UID}.slice/crio-${ID}.scope`,
  ],
] as const;

for (const [name, path] of v2) {
  test(`cgroup v2, ${name}`, () => {
    const container = `${ROOT}/${path}`;
    assert.deepEqual(locate(ROOT, `0::/${path}\n`, tree(`${container}/cpu.max`)), {
      version: 2,
      container,
      pod: container.slice(0, container.lastIndexOf("/")),
      accounting: container,
      cpuset: container,
      memory: container,
    });
  });
}

test("a process in a cgroup below its container's has the container's", () => {
  const container = `${ROOT}/kubepods/pod${UID}/${ID}`;
  const found = locate(
    ROOT,
    `0::/kubepods/pod${UID}/${ID}/init.scope/pod${UID}\n`,
    tree(`${container}/cpu.max`),
  );
  assert.equal(found?.container, container);
});

test("seen from a cgroup namespace, or through a mount of a part of the tree, it is the same", () => {
  const container = `${ROOT}/cpu/kubepods/pod${UID}/${ID}`;
  for (const above of ["/../..", "/docker/0123/kubelet", ""]) {
    const found = locate(ROOT, `2:cpu:${above}/kubepods/pod${UID}/${ID}\n`, tree(container));
    assert.equal(found?.container, container, above);
  }
});

test("without a hierarchy that has the cpu controller there is none", () => {
  const text = `2:cpu:/kubepods/pod${UID}/${ID}\n0::/kubepods/pod${UID}/${ID}\n`;
  // The cgroup is gone; the unified hierarchy of a hybrid machine has no controllers.
  assert.equal(locate(ROOT, text, tree(`${ROOT}/kubepods/pod${UID}/${ID}/cgroup.procs`)), undefined);
  assert.equal(
    locate(ROOT, "0::/system.slice/a.service\n", () => true),
    undefined,
  );
  assert.equal(
    locate(ROOT, "", () => true),
    undefined,
  );
});
