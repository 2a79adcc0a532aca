/** How the links of a wired pod are called. */

/** KubeVirt's names, so that tools and people find what they know. */
export interface LinkNames {
  readonly uplink: string;
  readonly bridge: string;
  readonly placeholder: string;
}

/** A further network's interface, of which `k6t-` and the rest make 15 characters, and the whole would make too many. */
const SECONDARY = /^pod(?<rest>[0-9a-f]{11})$/;

export function namesFor(podInterface: string): LinkNames {
  const stem = SECONDARY.exec(podInterface)?.groups?.["rest"] ?? podInterface;
  return { uplink: `${stem}-nic`, bridge: `k6t-${stem}`, placeholder: podInterface };
}
