import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { describe, it } from "node:test";
import fc from "fast-check";
import { FakeClock } from "../../lib/fake-clock.ts";
import { GuestLog } from "./guest-log.ts";

const OPTIONS = { burstBytes: 100, bytesPerSecond: 10_000, maxBufferedBytes: 1_000 };

/** A reader of stdout that can be made to stop reading. */
class Reader extends Writable {
  text = "";
  #isReading = true;
  #next: (() => void) | undefined;

  override _write(chunk: Buffer, _encoding: string, next: () => void): void {
    this.text += chunk.toString();
    if (this.#isReading) next();
    else this.#next = next;
  }

  stopReading(): void {
    this.#isReading = false;
  }

  readOn(): void {
    this.#isReading = true;
    this.#next?.();
  }
}

describe("the guest's log", () => {
  it("copies what the allowance covers as it is", () => {
    const out = new Reader();
    const log = new GuestLog(out, OPTIONS, new FakeClock());
    log.write(Buffer.from("login: "));
    assert.equal(out.text, "login: ");
  });

  it("drops a flood, tells how much, and goes on", () => {
    const out = new Reader();
    const clock = new FakeClock();
    const log = new GuestLog(out, OPTIONS, clock);
    log.write(Buffer.alloc(150, "a"));
    log.write(Buffer.alloc(1_000, "b"));
    assert.equal(out.text, "a".repeat(100));
    clock.advance(60_000);
    assert.match(out.text, /\[launcher: 1050 bytes of console output dropped\]/);
    log.write(Buffer.from("on"));
    assert.match(out.text, /\r\non$/);
    assert.equal(clock.pending, 0);
  });

  it("drops instead of buffering when nobody reads stdout", () => {
    const out = new Reader();
    const log = new GuestLog(out, { ...OPTIONS, burstBytes: 1_000_000 }, new FakeClock());
    out.stopReading();
    for (let i = 0; i < 1_000; i++) log.write(Buffer.alloc(100, "x"));
    assert(out.writableLength <= OPTIONS.maxBufferedBytes);
    log.close();
    out.readOn();
    assert.match(out.text, /bytes of console output dropped/);
  });

  it("survives a stdout that was closed", () => {
    const out = new Reader();
    const log = new GuestLog(out, OPTIONS, new FakeClock());
    out.destroy(new Error("EPIPE"));
    log.write(Buffer.from("x"));
  });

  it("accounts for every byte: written or told as dropped", () => {
    const step = fc.record({ bytes: fc.nat(400), waitMs: fc.nat(30) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const out = new Reader();
        const clock = new FakeClock();
        const log = new GuestLog(out, OPTIONS, clock);
        let sent = 0;
        for (const { bytes, waitMs } of steps) {
          log.write(Buffer.alloc(bytes, "x"));
          sent += bytes;
          clock.advance(waitMs);
        }
        log.close();
        const dropped = [...out.text.matchAll(/(\d+) bytes of/g)].reduce(
          (sum, match) => sum + Number(match[1]),
          0,
        );
        const written = out.text.replaceAll(/\r\n\[.*?\]\r\n/g, "").length;
        assert.equal(written + dropped, sent);
      }),
    );
  });
});
