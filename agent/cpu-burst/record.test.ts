import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, it } from "node:test";
import { pino } from "pino";
import { type RaisedRecord, RaisedRecords } from "./record.ts";

const log = pino({ level: "silent" });
const A = "aaaaaaaa-0000-0000-0000-000000000000";
const RECORD: RaisedRecord = {
  podUid: A,
  location: { version: 2, pod: "/p", container: "/p/c", accounting: "/p/c", memory: "/p/c" },
  baseMilliCpu: 500,
  podBaseMilliCpu: 500,
  hasScaledQuotas: true,
};
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "records-"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

it("a record outlives the agent, and ends when it is removed", () => {
  const before = new RaisedRecords(directory);
  before.load(log);
  before.save(RECORD);
  const after = new RaisedRecords(directory);
  assert.deepEqual(after.load(log), [RECORD]);
  assert.deepEqual(after.get(A), RECORD);
  after.remove(A);
  after.remove(A);
  assert.equal(after.get(A), undefined);
  assert.deepEqual(readdirSync(directory), []);
});

it("what is already written down is not written again", () => {
  const records = new RaisedRecords(directory);
  records.save(RECORD);
  writeFileSync(join(directory, `${A}.json`), "marked");
  records.save({ ...RECORD });
  assert.equal(readFileSync(join(directory, `${A}.json`), "utf8"), "marked");
  records.save({ ...RECORD, baseMilliCpu: 300 });
  assert.notEqual(readFileSync(join(directory, `${A}.json`), "utf8"), "marked");
});

it("files that no agent wrote are removed, and stop nobody", () => {
  const broken = {
    "0.json": "not JSON",
    "1.json": "null",
    "2.json": JSON.stringify({ ...RECORD, podUid: "../../etc" }),
    "3.json": JSON.stringify({ ...RECORD, location: { version: 3 } }),
    "4.json": JSON.stringify({ ...RECORD, location: { ...RECORD.location, pod: "p" } }),
    "5.json": JSON.stringify({ ...RECORD, baseMilliCpu: -1 }),
    "bbbbbbbb-0000-0000-0000-000000000000.json": JSON.stringify(RECORD),
    [`${A}.json.new`]: "{",
  };
  for (const [name, text] of Object.entries(broken)) writeFileSync(join(directory, name), text);
  writeFileSync(join(directory, `${A}.json`), JSON.stringify(RECORD));
  assert.deepEqual(new RaisedRecords(directory).load(log), [RECORD]);
  assert.deepEqual(readdirSync(directory), [`${A}.json`]);
});

it("what can't be written down is told", () => {
  const records = new RaisedRecords(join(directory, "absent"));
  assert.throws(() => records.save(RECORD), { code: "RecordFailed" });
});
