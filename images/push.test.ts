import assert from "node:assert/strict";
import { test } from "node:test";
import { archiveFiles, image } from "./oci.ts";
import { copyArguments, tagOf } from "./push.ts";

test("an image is pushed under the tag that its archive was built with", () => {
  const files = archiveFiles(image([], {}, new Date(0)), "localhost:5000/virtpod/virtpod:0a1b2c");
  assert.equal(tagOf(files.get("index.json")?.toString() ?? ""), "0a1b2c");
  assert.throws(() => tagOf('{"manifests":[{}]}'), /names no tag/);
});

test("plain HTTP is used only where it was asked for", () => {
  const copy = (insecure: boolean) => copyArguments("/a.tar", "registry.test/virtpod:dev", insecure);
  assert.ok(!copy(false).includes("--dest-tls-verify=false"));
  assert.ok(copy(true).includes("--dest-tls-verify=false"));
  assert.deepEqual(copy(false).slice(-2), ["oci-archive:/a.tar", "docker://registry.test/virtpod:dev"]);
});
