/** Announces a guest's addresses on the pod network until it has been heard. */
import { Backoff } from "../../../lib/backoff.ts";
import type { Clock } from "../../../lib/clock.ts";
import { announcementFrames, isGatewaysAnswer, type Presence } from "./announcement.ts";
import type { DatagramSocket } from "./sockets.ts";

/**
 * The port that the pod's link comes up on may not forward yet: a bridge on the node learns of the carrier up to a
 * second later (the kernel's linkwatch), one with spanning tree listens and learns for 15 s each before it forwards
 * (IEEE 802.1D). The last of these rounds is sent after 32 s.
 */
const ROUNDS = 12;
const INTERVAL = { initialMs: 50, maxMs: 6400, jitter: 0 };

/**
 * Sends round after round until a gateway answers, or all of them where none does: it has none, or doesn't answer ARP.
 * @returns whether a gateway has answered
 * @throws the signal's reason when it aborts first
 */
export async function announce(
  socket: DatagramSocket,
  presence: Presence,
  { signal, clock }: { readonly signal: AbortSignal; readonly clock?: Clock },
): Promise<boolean> {
  const answered = new AbortController();
  socket.onDatagram((frame) => {
    if (isGatewaysAnswer(frame, presence)) answered.abort();
  });
  const backoff = new Backoff({ ...INTERVAL, ...(clock !== undefined && { clock }) });
  const either = AbortSignal.any([signal, answered.signal]);
  for (let round = 0; round < ROUNDS && !answered.signal.aborted; round++) {
    signal.throwIfAborted();
    for (const frame of announcementFrames(presence)) socket.send(frame);
    await backoff.wait(either).catch(() => signal.throwIfAborted());
  }
  return answered.signal.aborted;
}
