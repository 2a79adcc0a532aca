import assert from "node:assert/strict";
import { test } from "node:test";
import { isInPod } from "./pod-processes.ts";

const uid = "0c6e7a52-2f2b-4bd0-9a3c-d4a2c1b7a001";

test("a pod's processes are known by its UID under the cgroupfs and the systemd driver", () => {
  assert.ok(isInPod(`4:memory:/virtpod-node-1/kubepods/burstable/pod${uid}/4f1c\n`, uid));
  assert.ok(
    isInPod(
      "0::/kubepods.slice/kubepods-pod0c6e7a52_2f2b_4bd0_9a3c_d4a2c1b7a001.slice/cri-containerd-4f1c.scope\n",
      uid,
    ),
  );
});

test("other pods' processes, and the kubelet's own, are not the pod's", () => {
  assert.ok(!isInPod("4:memory:/kubepods/burstable/pod0c6e7a52-2f2b-4bd0-9a3c-d4a2c1b7a002/4f1c\n", uid));
  assert.ok(!isInPod("0::/virtpod-node-1/daemons/kubelet\n", uid));
});
