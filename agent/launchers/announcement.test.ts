import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AgentError } from "../errors.ts";
import { parseAnnouncement } from "./announcement.ts";

const launcher = {
  podUid: "0f3b6c1e-8d2a-4f5b-9c7d-1e2f3a4b5c6d",
  podName: "virt-launcher-a-x7k2p",
  namespace: "default",
  vmiName: "a",
  vmiUid: "11111111-2222-3333-4444-555555555555",
  interfaces: [{ name: "default", binding: "bridge", podInterface: "eth0", queues: 1 }],
};

test("an announcement is taken as it is", () => {
  const announcement = { term: 3, launchers: [launcher] };
  assert.deepEqual(parseAnnouncement(announcement), announcement);
  assert.deepEqual(parseAnnouncement({ term: 0, launchers: [] }), { term: 0, launchers: [] });
});

test("a MAC address is lower-cased", () => {
  const interfaces = [{ ...launcher.interfaces[0], macAddress: "02:AB:00:00:00:01" }];
  const { launchers } = parseAnnouncement({ term: 0, launchers: [{ ...launcher, interfaces }] });
  assert.equal(launchers[0]?.interfaces[0]?.macAddress, "02:ab:00:00:00:01");
});

const bad: readonly (readonly [string, unknown])[] = [
  ["the announcement", null],
  ["term", { term: -1, launchers: [] }],
  ["term", { term: 1.5, launchers: [] }],
  ["launchers", { term: 1 }],
  ["launchers", { term: 1, launchers: Array.from({ length: 1001 }, () => launcher) }],
  ["launchers", { term: 1, launchers: [launcher, launcher] }],
  ["launchers[0]", { term: 1, launchers: ["x"] }],
  ["launchers[0].podUid", { term: 1, launchers: [{ ...launcher, podUid: "../../etc" }] }],
  ["launchers[0].podName", { term: 1, launchers: [{ ...launcher, podName: "" }] }],
  ["launchers[0].interfaces[0].binding", withInterface({ binding: "slirp" })],
  ["launchers[0].interfaces[0].podInterface", withInterface({ podInterface: "eth0; reboot" })],
  ["launchers[0].interfaces[0].podInterface", withInterface({ podInterface: "-batch" })],
  ["launchers[0].interfaces[0].queues", withInterface({ queues: 0 })],
  ["launchers[0].interfaces[0].macAddress", withInterface({ macAddress: "02:ab" })],
];

function withInterface(change: object): unknown {
  return { term: 1, launchers: [{ ...launcher, interfaces: [{ ...launcher.interfaces[0], ...change }] }] };
}

for (const [at, value] of bad) {
  test(`a bad ${at} is refused by name: ${JSON.stringify(value)?.slice(0, 60)}`, () => {
    assert.throws(
      () => parseAnnouncement(value),
      (error) =>
        error instanceof AgentError && error.code === "InvalidAnnouncement" && error.message.startsWith(at),
    );
  });
}

test("no value makes it throw anything else", () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      assert.throws(() => parseAnnouncement(value), { code: "InvalidAnnouncement" });
    }),
  );
});
