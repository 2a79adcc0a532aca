import type { PodFacts } from "./pod-facts.ts";

/** Made, and nothing more. */
export const PENDING_POD: PodFacts = {
  name: "p",
  uid: "p",
  phase: "Pending",
  isDeleting: false,
  isHeld: true,
  accelerator: "kvm",
  hasSandbox: false,
  isRunning: false,
  isReady: false,
  cpu: {},
};

/** On its node, with its container running. */
export const RUNNING_POD: PodFacts = {
  ...PENDING_POD,
  phase: "Running",
  nodeName: "node-1",
  hasSandbox: true,
  isRunning: true,
  isReady: true,
};
