import assert from "node:assert/strict";
import { test } from "node:test";
import { UPLINK_PORT } from "../api/names.ts";
import { parseConfig } from "./config.ts";

const uplink = { VIRTPOD_UPLINK: "virtpod-uplink.virtpod.svc" };

test("only the operator's name must be told", () => {
  const config = parseConfig(uplink);
  assert.equal(config.uplinkPort, UPLINK_PORT);
  assert.equal(config.socketDirectory, "/var/lib/virtpod/agent/socket");
  assert.equal(config.nodeFactsPath, "/var/lib/virtpod/agent/socket/node-facts.json");
  assert.equal(config.hostNetns, "/proc/1/ns/net");
  assert.throws(() => parseConfig({}), /VIRTPOD_UPLINK/);
});

test("everything on disk follows the state directory", () => {
  const config = parseConfig({ ...uplink, VIRTPOD_STATE: "/x" });
  for (const path of [config.socketDirectory, config.announcementPath, config.networkState]) {
    assert.ok(path.startsWith("/x/"));
  }
});

test("a bad value is refused by the name of its variable", () => {
  assert.throws(() => parseConfig({ ...uplink, VIRTPOD_UPLINK_PORT: "no" }), /VIRTPOD_UPLINK_PORT/);
  assert.throws(() => parseConfig({ ...uplink, VIRTPOD_UPLINK_PORT: "70000" }), /VIRTPOD_UPLINK_PORT/);
  assert.throws(() => parseConfig({ ...uplink, VIRTPOD_LOG_LEVEL: "loud" }), /VIRTPOD_LOG_LEVEL/);
});
