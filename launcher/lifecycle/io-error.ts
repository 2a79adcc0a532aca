/**
 * A guest whose disk fails is stopped by qemu, and its request waits (werror=stop). Where room had run out, the guest
 * goes on by itself once there is some. Linux tells nobody of free space, so the launcher looks: soon at first, then
 * ever more seldom, and only while a guest stands still for it. Pure.
 */

/** A disk's last failure. */
export interface DiskFailure {
  /** Name of the disk. */
  readonly disk: string;
  /** ENOSPC; any other failure is for a person to mend. */
  readonly isOutOfRoom: boolean;
}

/** What looking for room has come to: kept over a resume, for the next write may fail again. */
export interface RoomWatch {
  readonly looks: number;
  readonly lastAtMs: number;
}

/** From the pause to the first look. */
export const FIRST_LOOK_MS = 1_000;
/** Between looks at the most; each costs one statfs(2) per disk. */
export const MAX_LOOK_MS = 30_000;
/** A guest that ran so long since the last look counts as helped. */
const FORGET_AFTER_MS = 60_000;

export function messageOf(failure: DiskFailure | undefined): string {
  if (failure === undefined)
    return "a disk failed; the VM stands still until there is room for it or it is unpaused";
  return failure.isOutOfRoom
    ? `disk ${failure.disk}: no room is left where it is kept (ENOSPC); the VM stands still and goes on by itself once there is`
    : `disk ${failure.disk} failed with an I/O error; the VM stands still until it is unpaused, which tries again`;
}

/** When to look next. Undefined: never, for room would not help. */
export function nextLook(
  failure: DiskFailure | undefined,
  watch: RoomWatch | undefined,
  atMs: number,
): { readonly delayMs: number; readonly watch: RoomWatch } | undefined {
  // A failure that was missed, with libvirtd away, may have been for want of room.
  if (failure?.isOutOfRoom === false) return undefined;
  const looks = watch !== undefined && atMs - watch.lastAtMs < FORGET_AFTER_MS ? watch.looks : 0;
  const delayMs = Math.min(FIRST_LOOK_MS * 2 ** looks, MAX_LOOK_MS);
  return { delayMs, watch: { looks: looks + 1, lastAtMs: atMs } };
}
