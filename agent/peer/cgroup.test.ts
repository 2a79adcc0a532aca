import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseCgroup } from "./cgroup.ts";

const UID = "0f3b6c1e-8d2a-4f5b-9c7d-1e2f3a4b5c6d";
const OTHER_UID = "11111111-2222-3333-4444-555555555555";
const ID = "a1".repeat(32);
const OTHER_ID = "b2".repeat(32);
const expected = { podUid: UID, containerId: ID };

const forms: readonly (readonly [string, string])[] = [
  [
    "cgroup v2, systemd driver",
    `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${UID.replaceAll("-", "_")}.slice/cri-containerd-${ID}.scope`,
  ],
  [
    "cgroup v2, systemd driver, guaranteed",
    `0::/kubepods.slice/kubepods-pod${UID.replaceAll("-", "_")}.slice/cri-containerd-${ID}.scope`,
  ],
  [
    "cgroup v2, CRI-O",
    `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${UID.replaceAll("-", "_")}.slice/crio-${ID}.scope/container`,
  ],
  ["cgroup v2, cgroupfs driver", `0::/kubepods/besteffort/pod${UID}/${ID}`],
  [
    "cgroup v1, cgroupfs driver",
    `12:memory:/kubepods/burstable/pod${UID}/${ID}\n3:cpu,cpuacct:/kubepods/burstable/pod${UID}/${ID}\n0::/`,
  ],
  ["cgroup v1, guaranteed", `2:cpu:/kubepods/pod${UID}/${ID}\n1:name=systemd:/kubepods/pod${UID}/${ID}`],
  ["seen from a cgroup namespace", `4:cpu:/../../pod${UID}/${ID}\n0::/`],
  [
    "seen from a cgroup namespace, systemd driver",
    `0::/../../kubepods-pod${UID.replaceAll("-", "_")}.slice/cri-containerd-${ID}.scope`,
  ],
  ["a node that is itself a container", `0::/docker/${OTHER_ID}/kubelet/kubepods/pod${UID}/${ID}`],
  ["a process in a cgroup below its container's", `0::/kubepods/pod${UID}/${ID}/init.scope`],
];

for (const [name, text] of forms) {
  test(`the container is read from ${name}`, () => {
    assert.deepEqual(parseCgroup(`${text}\n`), expected);
  });
}

test("a process outside of pods has no container", () => {
  for (const text of [
    "",
    "0::/\n",
    "0::/system.slice/containerd.service\n",
    `0::/docker/${ID}\n`,
    `0::/kubepods/pod${UID}\n`,
    `0::/kubepods/podstatic/${ID}\n`,
    `0::/kubepods/pod${UID}/${ID.slice(1)}\n`,
    `0::/kubepods/pod${UID}/${ID}f\n`,
  ]) {
    assert.equal(parseCgroup(text), undefined, text);
  }
});

test("a pod's name that a container made below its own cgroup changes nothing", () => {
  assert.deepEqual(
    parseCgroup(`0::/kubepods/pod${UID}/${ID}/kubepods/pod${OTHER_UID}/${OTHER_ID}\n`),
    expected,
  );
});

test("hierarchies that disagree are no identity", () => {
  assert.equal(
    parseCgroup(`2:cpu:/kubepods/pod${UID}/${ID}\n1:memory:/kubepods/pod${OTHER_UID}/${OTHER_ID}\n`),
    undefined,
  );
  assert.equal(
    parseCgroup(`2:cpu:/kubepods/pod${UID}/${ID}\n1:memory:/kubepods/pod${UID}/${OTHER_ID}\n`),
    undefined,
  );
});

test("no text makes the parser throw or invent a UID", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      assert.equal(parseCgroup(text), undefined);
    }),
  );
});
