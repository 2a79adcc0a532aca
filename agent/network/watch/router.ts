/**
 * Advertises the guest's router on its bridge: at once, when the guest asks, and now and then, so that the route never
 * runs out. While no agent runs, what was said last holds.
 */
import { type Clock, sleep } from "../../../lib/clock.ts";
import { type GuestRouter, LIFETIME_SECONDS, routerAdvertisementFrame } from "./router-advertisement.ts";
import type { DatagramSocket } from "./sockets.ts";

/** RFC 4861 section 6.2.1: MaxRtrAdvInterval may be a third of the lifetime at most. */
const INTERVAL_MS = (LIFETIME_SECONDS / 5) * 1000;
/** RFC 4861 section 10, MIN_DELAY_BETWEEN_RAS: a guest that asks without end is not even heard. */
const MIN_DELAY_MS = 3000;

/**
 * @param socket on the bridge; each of its datagrams is a question for routers
 * @throws the signal's reason when it aborts, which is the only end
 */
export async function advertise(
  socket: DatagramSocket,
  router: GuestRouter,
  { signal, clock }: { readonly signal: AbortSignal; readonly clock?: Clock },
): Promise<never> {
  const frame = routerAdvertisementFrame(router);
  const options = { signal, ...(clock !== undefined && { clock }) };
  let asked = new AbortController();
  socket.onDatagram(() => {
    socket.pause();
    asked.abort();
  });
  for (;;) {
    // Who asks while the next one may not be sent yet is answered by it (RFC 4861 section 6.2.6).
    asked = new AbortController();
    socket.resume();
    socket.send(frame);
    await sleep(MIN_DELAY_MS, options);
    const either = AbortSignal.any([signal, asked.signal]);
    await sleep(INTERVAL_MS, { ...options, signal: either }).catch(() => signal.throwIfAborted());
  }
}
