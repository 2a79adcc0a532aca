import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { serverProperty } from "./fuzz.fixture.ts";

/** About 20 s where nothing else uses the CPU; `make soak` goes on for ten minutes. */
const RUNS = 300_000;

const DROPPED = [
  ...["tooShort", "tooLong", "notARequest", "badHardwareType", "badHardwareLength", "badCookie"],
  ...["truncatedOption", "badOverload", "noMessageType", "badMessageType", "badOptionLength"],
];
const SILENT = [
  ...["foreignClient", "relayed", "otherServer", "requestWithoutAddress", "serverMessage", "foreignAddress"],
  ...["declined", "released"],
];
const ANSWERED = ["offer", "ack", "nak", "optionsOmitted"];

test("no datagram makes the server throw, miscount, answer what deserves none, or answer amiss", async () => {
  const { property, counted } = await serverProperty();
  fc.assert(property, { numRuns: RUNS });
  const reached = counted();
  const missing = [...DROPPED, ...SILENT, ...ANSWERED].filter((outcome) => !reached.has(outcome));
  assert.deepEqual(missing, [], "the datagrams reach every outcome");
});
