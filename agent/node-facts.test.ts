import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readNodeFacts } from "./node-facts.ts";

test("KVM is usable only where the probe says so", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "node-facts-"));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, "node-facts.json");
  const kvm = async (text: string) => {
    await writeFile(path, text);
    return (await readNodeFacts(path, "1.2.3")).kvm;
  };

  assert.deepEqual(await kvm('{"kvm":{"usable":true,"reason":"a guest ran"},"more":1}'), {
    usable: true,
    reason: "a guest ran",
  });
  assert.equal((await kvm('{"kvm":{"usable":false,"reason":"it hung"}}')).reason, "it hung");
  for (const text of ["", "null", "{}", '{"kvm":{"usable":"yes","reason":""}}', '{"kvm":{"usable":true}}']) {
    assert.equal((await kvm(text)).usable, false, text);
  }
});

test("without a probe's result KVM is not usable, and the reason says why", async () => {
  const facts = await readNodeFacts("/nonexistent/node-facts.json", "1.2.3");
  assert.deepEqual(facts, {
    kvm: { usable: false, reason: "the probe has left no result on this node" },
    agentVersion: "1.2.3",
  });
});
