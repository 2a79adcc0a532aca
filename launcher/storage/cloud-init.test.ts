import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cloudInitFiles, publicKeysOf } from "./cloud-init.ts";

describe("cloud-init's files", () => {
  const content = { instanceId: "i", hostname: "h", publicKeys: [] };
  const paths = (format: "noCloud" | "configDrive") =>
    cloudInitFiles(format, content).map(({ path }) => path);

  it("have user-data even where there is none, for a NoCloud seed is none without it", () => {
    assert.deepEqual(paths("noCloud"), ["meta-data", "user-data"]);
    assert.deepEqual(paths("configDrive"), ["openstack/latest/meta_data.json"]);
  });

  it("have a key for each non-empty line of a Secret", () => {
    const files = [
      { path: "a", content: Buffer.from("k1\r\n\n k2 \n") },
      { path: "b", content: Buffer.from("k3") },
    ];
    assert.deepEqual(publicKeysOf(files), ["k1", "k2", "k3"]);
  });
});
