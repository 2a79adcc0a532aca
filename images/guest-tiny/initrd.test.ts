import assert from "node:assert/strict";
import { test } from "node:test";
import { diskSize } from "./disk.ts";
import { kernelPackage, loadOrder } from "./initrd.ts";

const needs: Record<string, string[]> = {
  virtio_net: ["net_failover"],
  net_failover: ["failover"],
  failover: [],
  ahci: ["libahci", "libata"],
  libahci: ["libata"],
  libata: [],
};

test("modules load after everything that they need, and once", () => {
  const order = loadOrder(["virtio_net", "ahci"], (name) => needs[name]);
  assert.deepEqual(order, ["failover", "net_failover", "virtio_net", "libata", "libahci", "ahci"]);
});

test("a module that the kernel lacks is named, with what needs it", () => {
  assert.throws(
    () => loadOrder(["a"], (name) => (name === "a" ? ["b"] : undefined)),
    /no module b, which a needs/,
  );
});

test("the kernel is the metapackage's versioned package", () => {
  const entry = (name: string) => ({ name, version: "6.12-1", architecture: "amd64" });
  const found = kernelPackage(
    ["linux-base", "linux-image-6.12.1+deb13-cloud-amd64", "linux-image-cloud-amd64"].map(entry),
  );
  assert.equal(found?.name, "linux-image-6.12.1+deb13-cloud-amd64");
});

test("a disk is whole mebibytes and holds its files with room to spare", () => {
  for (const size of [0, 1, 11_737_024, 30 * 2 ** 20]) {
    const bytes = diskSize([size]);
    assert.equal(bytes % 2 ** 20, 0);
    assert.ok(bytes >= size + 3 * 2 ** 20);
  }
});
