/**
 * Crashes under a guest that writes: what it was told is on the disk must be there afterwards. Records are written
 * with fsync, each acknowledged before it counts; qemu and launcher are killed in turn.
 */
import assert from "node:assert/strict";
import { ask, diskName, type Guests } from "./guest.ts";
import { killProgram } from "./node.ts";
import { createClaim, tinyWithDisks } from "./storage.ts";

/** Writers at the same time, each with blocks of its own. */
const WRITERS = 4;
/** Far more than a writer gets to before the kill. */
const BLOCKS_PER_WRITER = 500;
const START_TIMEOUT_MS = 120_000;
const WRITE_TIMEOUT_MS = 60_000;
const VICTIMS = [/^qemu-system/, /^node$/];

export type VolumeMode = "Filesystem" | "Block";

/** Number of records acknowledged, by writer. */
type Journal = number[];

/** @throws AssertionError for the first record that was acknowledged and is not there */
export async function surviveCrashes(
  guests: Guests,
  volumeMode: VolumeMode,
  rounds: number,
  tell: (line: string) => void = () => {},
): Promise<void> {
  const name = `crash-${volumeMode.toLowerCase()}`;
  await createClaim(guests.client, guests.namespace, name, { size: "64Mi", volumeMode });
  let journal: Journal = Array.from({ length: WRITERS }, () => 0);
  for (let round = 0; round <= rounds; round++) {
    const guest = await start(guests, name);
    await check(guest, journal, round);
    if (round === rounds) break;
    // Another number in each round, so that the kill meets the writers at another point.
    journal = await writeUntilKilled(guest, round, 8 + ((round * 7) % 23), async () => {
      killProgram([guest.pod], VICTIMS[round % VICTIMS.length] ?? /^qemu-system/);
      await guests.untilVmi(name, "the phase Failed", 60_000, ({ status }) => status?.phase === "Failed");
    });
    await guests.removeInstance(name);
    tell(`${round + 1} of ${rounds} crashes, ${journal.reduce((sum, one) => sum + one)} records written`);
  }
  await guests.removeInstance(name);
}

type Guest = Awaited<ReturnType<Guests["answering"]>> & { readonly dev: string };

async function start(guests: Guests, name: string): Promise<Guest> {
  const volume = { name: "data", persistentVolumeClaim: { claimName: name } };
  await guests.createInstance(
    name,
    tinyWithDisks([{ volume }], { spec: { terminationGracePeriodSeconds: 5 } }),
  );
  const guest = await guests.answering(name, START_TIMEOUT_MS);
  return { ...guest, dev: await diskName(guest.address, "data") };
}

const place = (writer: number, index: number) => writer * BLOCKS_PER_WRITER + index;
/** Of the round as well: a record of an earlier round must not pass for one of this. */
const record = (round: number, writer: number, index: number) =>
  `round-${round}-writer-${writer}-record-${index}`;

async function check({ address, dev }: Guest, journal: Journal, round: number): Promise<void> {
  for (const [writer, acknowledged] of journal.entries()) {
    for (let index = 0; index < acknowledged; index++) {
      const { data } = await ask<{ data: string | null }>(
        address,
        `/disk-read?dev=${dev}&block=${place(writer, index)}`,
      );
      assert.equal(data, record(round - 1, writer, index), `a record was lost in round ${round - 1}`);
    }
  }
}

/**
 * Lets the writers write, kills when one of them has had so many acknowledged, and returns what all have.
 * @param kill resolves when the guest has ended: nothing answers any more then
 */
async function writeUntilKilled(
  { address, dev }: Guest,
  round: number,
  killAfter: number,
  kill: () => Promise<void>,
): Promise<Journal> {
  const ended = new AbortController();
  let killed: Promise<void> | undefined;
  const writer = async (number: number) => {
    let acknowledged = 0;
    while (acknowledged < BLOCKS_PER_WRITER) {
      const query = `dev=${dev}&block=${place(number, acknowledged)}&data=${record(round, number, acknowledged)}`;
      try {
        await ask(address, `/disk-write?${query}`, WRITE_TIMEOUT_MS, ended.signal);
      } catch (error) {
        // The guest is gone, as it should be; before the kill it must not be.
        if (killed === undefined) throw error;
        return acknowledged;
      }
      acknowledged++;
      if (acknowledged < killAfter || killed !== undefined) continue;
      killed = kill().finally(() => ended.abort());
      // Told below, when the writers have stopped.
      killed.catch(() => {});
    }
    throw new Error(`writer ${number} was not stopped by the kill`);
  };
  const journal = await Promise.all(Array.from({ length: WRITERS }, (_, number) => writer(number)));
  await killed;
  return journal;
}
