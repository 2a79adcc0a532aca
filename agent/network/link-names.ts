/** How the links of a wired pod are called. */

/** KubeVirt's names, so that tools and people find what they know. */
export interface LinkNames {
  readonly uplink: string;
  readonly bridge: string;
  readonly placeholder: string;
}

export function namesFor(podInterface: string): LinkNames {
  return { uplink: `${podInterface}-nic`, bridge: `k6t-${podInterface}`, placeholder: podInterface };
}
