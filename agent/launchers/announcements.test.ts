import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { pino } from "pino";
import type { AnnouncedLauncher } from "../../api/uplink-protocol.ts";
import { Announcements } from "./announcements.ts";

const log = pino({ level: "silent" });
const A = "aaaaaaaa-0000-0000-0000-000000000000";
const B = "bbbbbbbb-0000-0000-0000-000000000000";
let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "announcements-"));
  path = join(directory, "state", "launchers.json");
});

afterEach(() => rm(directory, { recursive: true }));

function launcher(podUid: string): AnnouncedLauncher {
  return { podUid, podName: "p", namespace: "n", vmiName: "v", vmiUid: podUid, interfaces: [] };
}

test("the set outlives the agent", async () => {
  const before = await Announcements.load(path, log);
  await before.replace({ term: 1, launchers: [launcher(A), launcher(B)] });
  const after = await Announcements.load(path, log);
  assert.deepEqual([...after.podUids], [A, B]);
  assert.deepEqual(await readdir(join(directory, "state")), ["launchers.json"]);
});

test("settings outlive the agent, and an announcement without any", async () => {
  const settings = { version: "7", logLevel: "debug", sharePoolThresholdPercent: 60 } as const;
  const before = await Announcements.load(path, log);
  assert.equal(before.settings, undefined);
  await before.replace({ term: 1, launchers: [launcher(A)], settings });
  await before.replace({ term: 1, launchers: [launcher(B)] });
  const after = await Announcements.load(path, log);
  assert.deepEqual(after.settings, settings);
  assert.deepEqual(after.launchers, [launcher(B)]);
});

test("a replacement tells who left", async () => {
  const announcements = await Announcements.load(path, log);
  assert.deepEqual(await announcements.replace({ term: 1, launchers: [launcher(A), launcher(B)] }), []);
  assert.deepEqual(await announcements.replace({ term: 1, launchers: [launcher(B)] }), [A]);
  assert.equal(announcements.get(A), undefined);
});

test("who left while the agent was away is told by the first replacement", async () => {
  await (await Announcements.load(path, log)).replace({ term: 1, launchers: [launcher(A)] });
  const after = await Announcements.load(path, log);
  assert.deepEqual(await after.replace({ term: 1, launchers: [] }), [A]);
});

test("an older leader is refused, and changes nothing", async () => {
  const announcements = await Announcements.load(path, log);
  await announcements.replace({ term: 7, launchers: [launcher(A)] });
  await assert.rejects(announcements.replace({ term: 6, launchers: [] }), { code: "StaleTerm" });
  assert.deepEqual([...announcements.podUids], [A]);
  await announcements.replace({ term: 7, launchers: [] });
});

test("the term does not outlive the agent: a new lease counts from zero", async () => {
  await (await Announcements.load(path, log)).replace({ term: 7, launchers: [launcher(A)] });
  const after = await Announcements.load(path, log);
  await after.replace({ term: 0, launchers: [launcher(A)] });
});

test("an unreadable file counts as an empty set", async () => {
  await (await Announcements.load(path, log)).replace({ term: 1, launchers: [launcher(A)] });
  await writeFile(path, '[{"podUid":');
  assert.deepEqual([...(await Announcements.load(path, log)).podUids], []);
});

test("an unchanged set is not written again", async () => {
  const announcements = await Announcements.load(path, log);
  await announcements.replace({ term: 1, launchers: [launcher(A)] });
  await rm(path);
  await announcements.replace({ term: 2, launchers: [launcher(A)] });
  await assert.rejects(readFile(path), { code: "ENOENT" });
});

test("a launcher that is ahead of its announcement waits for it", async () => {
  const announcements = await Announcements.load(path, log);
  const waiting = announcements.waitFor(A, new AbortController().signal);
  await announcements.replace({ term: 1, launchers: [launcher(B)] });
  await announcements.replace({ term: 1, launchers: [launcher(A)] });
  assert.deepEqual(await waiting, launcher(A));
});

test("waiting ends with its signal", async () => {
  const announcements = await Announcements.load(path, log);
  const abort = new AbortController();
  const waiting = announcements.waitFor(A, abort.signal);
  abort.abort();
  await assert.rejects(waiting, { code: "NotAnnounced" });
});

test("replacements that come together are taken one after the other", async () => {
  const announcements = await Announcements.load(path, log);
  const results = await Promise.all([
    announcements.replace({ term: 1, launchers: [launcher(A)] }),
    announcements.replace({ term: 1, launchers: [launcher(B)] }),
    announcements.replace({ term: 1, launchers: [] }),
  ]);
  assert.deepEqual(results, [[], [A], [B]]);
});
