/** What an hour of watches that come to their end looks like, in a minute. */
import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import type { FaultProxy } from "./proxy.ts";

/** A watch that ends sooner, without an event, counts as a failure and is opened again by back-off. */
const WATCH_LIFE_MS = 1_100;
/** After GOAWAY, requests that were cut off are tried again by back-off. */
const RECOVERY_MS = 30_000;
const LOOK_MS = 20;
/** Every so many rounds the connections are sent away as well. */
const DRAIN_EVERY = 5;

/**
 * Ends every watch so many times, and now and then the connections beneath them.
 * @returns how many watches were opened anew
 * @throws AssertionError when afterwards there are more connections or other watches than before
 */
export async function reconnect(proxy: FaultProxy, rounds: number): Promise<number> {
  const watched = names(proxy);
  const connections = proxy.connections;
  let reopened = 0;
  for (let round = 1; round <= rounds; round++) {
    await setTimeout(WATCH_LIFE_MS);
    if (round % DRAIN_EVERY === 0) proxy.drainConnections();
    const before = proxy.opened;
    await proxy.endWatches();
    const deadline = Date.now() + RECOVERY_MS;
    while (names(proxy).join() !== watched.join() || proxy.opened < before + watched.length) {
      assert.ok(Date.now() < deadline, `round ${round}: watches are ${names(proxy)}, not ${watched}`);
      await setTimeout(LOOK_MS);
    }
    reopened += proxy.opened - before;
  }
  const deadline = Date.now() + RECOVERY_MS;
  while (proxy.connections > connections) {
    const grown = `${connections} connections became ${proxy.connections} in ${reopened} reconnects`;
    assert.ok(Date.now() < deadline, grown);
    await setTimeout(LOOK_MS);
  }
  return reopened;
}

function names(proxy: FaultProxy): string[] {
  return proxy.watches.map(({ resource }) => resource).sort();
}
