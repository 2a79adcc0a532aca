import type { AnnouncedLauncher } from "../../api/uplink-protocol.ts";

/** A launcher of that pod, as the operator announces it. */
export function announced(podUid: string): AnnouncedLauncher {
  return {
    podUid,
    podName: "p",
    namespace: "n",
    vmiName: "v",
    vmiUid: podUid,
    interfaces: [{ name: "default", binding: "bridge", podInterface: "eth0", queues: 1 }],
  };
}
