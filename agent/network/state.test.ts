import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadState, removeOtherStates, type SavedNetwork, saveState } from "./state.ts";

const parent = mkdtempSync(join(tmpdir(), "virtpod-state-"));
const directory = join(parent, "made", "when-needed");
after(() => rmSync(parent, { recursive: true }));

const STATE: SavedNetwork = {
  version: 1,
  namespace: "4026532000",
  interfaces: [
    {
      index: 2,
      podInterface: {
        name: "eth0",
        macAddress: "0a:58:0a:f4:00:07",
        mtu: 1500,
        addresses: ["10.244.0.7/24"],
        routes: [],
        neighbours: [],
      },
    },
  ],
};

test("what was saved is there until it is forgotten, and only root may read it", async () => {
  assert.equal(await loadState(directory, "uid-1"), undefined);
  await saveState(directory, "uid-1", STATE);
  assert.deepEqual(await loadState(directory, "uid-1"), STATE);
  assert.deepEqual(readdirSync(directory), ["uid-1.json"]);
  assert.equal(statSync(join(directory, "uid-1.json")).mode & 0o777, 0o600);
  await removeOtherStates(directory, () => false);
  assert.deepEqual(readdirSync(directory), []);
});

test("all but the kept are forgotten, half-written ones too, and where nothing was saved that is no error", async () => {
  await removeOtherStates(join(parent, "never-made"), () => false);
  await saveState(directory, "uid-1", STATE);
  await saveState(directory, "uid-3", STATE);
  writeFileSync(join(directory, "uid-4.json.new"), "{");
  await removeOtherStates(directory, (podUid) => podUid === "uid-1");
  assert.deepEqual(readdirSync(directory), ["uid-1.json"]);
  await removeOtherStates(directory, () => false);
});

test("a record that is not one says so instead of passing for none", async () => {
  await saveState(directory, "uid-2", STATE);
  for (const content of ["", "{", "{}", '{"version":2,"namespace":"1","interfaces":[]}']) {
    writeFileSync(join(directory, "uid-2.json"), content);
    await assert.rejects(loadState(directory, "uid-2"), { code: "StateLost" });
  }
});

test("a pod UID is no path", async () => {
  for (const podUid of ["../uid", "", "a/b", "x".repeat(65)]) {
    await assert.rejects(saveState(directory, podUid, STATE), podUid);
    await assert.rejects(loadState(directory, podUid), podUid);
  }
});
