/** What the agent asks of the wiring of one launcher pod's network. */
import type { AnnouncedInterface } from "../../api/uplink-protocol.ts";

export interface WireOptions {
  /** Path of the pod's network namespace: `/proc/<pid>/ns/net` or `/proc/self/fd/<n>`. Opened once, at the start. */
  readonly netns: string;
  /** Path of the node's network namespace, which is never touched. */
  readonly hostNetns: string;
  readonly podUid: string;
  readonly interfaces: readonly AnnouncedInterface[];
  /** Directory on the agent's disk that survives the agent; made when it does not exist. */
  readonly stateDirectory: string;
  /** Ends the wiring; a later call finishes what was begun. */
  readonly signal?: AbortSignal;
}
