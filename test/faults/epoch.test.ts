import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareResourceVersions } from "../../kube/objects.ts";
import { epochOf, hideVersions, realVersion, shownVersion, showVersions } from "./epoch.ts";

const version = fc.integer({ min: 1, max: 999_999_999 }).map(String);
const epoch = fc.integer({ min: 0, max: 1000 });

test("a version that was shown in any epoch comes back as it was", () => {
  fc.assert(
    fc.property(version, epoch, (real, shownIn) => {
      const shown = shownVersion(real, shownIn);
      assert.equal(realVersion(shown), real);
      assert.equal(epochOf(shown), shownIn);
    }),
  );
});

test("a later epoch shows higher versions, whatever was written in between", () => {
  fc.assert(
    fc.property(version, version, epoch, (a, b, earlier) => {
      assert.ok(compareResourceVersions(shownVersion(a, earlier), shownVersion(b, earlier + 1)) < 0);
    }),
  );
});

test('"" and "0" keep their meanings', () => {
  for (const special of ["", "0"]) assert.equal(shownVersion(special, 3), special);
});

test("objects, lists, patches and preconditions are rewritten, and nothing else is", () => {
  const list = {
    metadata: { resourceVersion: "9" },
    items: [{ metadata: { resourceVersion: "7" }, n: "7" }],
  };
  const shown = showVersions(list, 1);
  assert.equal(shown.metadata.resourceVersion, "1000000000009");
  assert.equal(shown.items[0]?.metadata.resourceVersion, "1000000000007");
  assert.equal(shown.items[0]?.n, "7");
  assert.deepEqual(hideVersions(shown), list);
  const patch = [{ op: "test", path: "/metadata/resourceVersion", value: "1000000000007" }];
  assert.deepEqual(hideVersions(patch), [{ op: "test", path: "/metadata/resourceVersion", value: "7" }]);
  const preconditions = { preconditions: { uid: "u", resourceVersion: "1000000000007" } };
  assert.deepEqual(hideVersions(preconditions), { preconditions: { uid: "u", resourceVersion: "7" } });
});
