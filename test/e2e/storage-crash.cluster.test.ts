/** A guest's disk after qemu or its launcher was killed while it wrote: nothing that it was told is written is lost. */
import { after, before, describe, it } from "node:test";
import { surviveCrashes } from "../harness/crash.ts";
import { Guests } from "../harness/guest.ts";

describe("a PersistentVolumeClaim", { concurrency: 2 }, () => {
  let guests: Guests;
  before(async () => {
    guests = await Guests.open("storage-crash");
  });
  after(() => guests.close());

  // Qemu, launcher, qemu. `make soak` has 50 rounds.
  it("of volumeMode Filesystem keeps every synced record when qemu or launcher is killed, three times", () =>
    surviveCrashes(guests, "Filesystem", 3));

  it("of volumeMode Block keeps every synced record when qemu is killed", () =>
    surviveCrashes(guests, "Block", 1));
});
