/**
 * What to do about one resource, given what is seen of it and of the kubelet. Pure.
 *
 * The kubelet deletes every socket in the directory when it starts, and forgets every plugin; when it stops it leaves
 * its own socket file behind. So a plugin compares identities of files, not their presence.
 */

/** Inode and change time of a socket file: the number alone is soon used again for a new file. */
export type FileIdentity = string;

export interface ResourceState {
  /** The node can give the resource now. */
  readonly available: boolean;
  /** The kubelet's socket, or undefined where there is none. */
  readonly kubelet: FileIdentity | undefined;
  /** The plugin's socket as it was made, or undefined while it does not listen. */
  readonly bound: FileIdentity | undefined;
  /** The file of that name now. */
  readonly found: FileIdentity | undefined;
  /** The kubelet's socket at the last successful registration. */
  readonly registeredWith: FileIdentity | undefined;
  /** Since that registration, in milliseconds. */
  readonly sinceRegistrationMs: number;
  /** The kubelet has a ListAndWatch stream open. */
  readonly watched: boolean;
  /** Health that the devices were last told with. */
  readonly healthy: boolean;
}

export interface ResourcePlan {
  /** Make the socket, again if need be. */
  readonly listen: boolean;
  readonly register: boolean;
  /** Tell the watching kubelet this health; undefined where it holds already. */
  readonly health: boolean | undefined;
}

/** A registered kubelet opens its stream within milliseconds; one that has not by now has dropped the plugin. */
export const WATCH_GRACE_MS = 10_000;

export function planResource(state: ResourceState): ResourcePlan {
  const health = state.available === state.healthy ? undefined : state.available;
  // A resource that was never there is not advertised; one that is lost stays, with unhealthy devices.
  const offered = state.available || state.registeredWith !== undefined;
  if (!offered || state.kubelet === undefined) return { listen: false, register: false, health };
  const listen = state.bound === undefined || state.found !== state.bound;
  const dropped = !state.watched && state.sinceRegistrationMs >= WATCH_GRACE_MS;
  return { listen, register: listen || dropped || state.registeredWith !== state.kubelet, health };
}
