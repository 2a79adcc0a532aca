import assert from "node:assert/strict";
import { test } from "node:test";
import type { Session } from "./session.ts";

/** Pages and selectors. */
export function lists(session: Session): void {
  const { configMaps, make } = session;

  test("a list comes in pages of one version, in the order of names, with apiVersion and kind on each item", async () => {
    const names = (await Promise.all(Array.from({ length: 7 }, () => make("page")))).map(
      (made) => made.metadata.name,
    );
    const first = await configMaps().list({ labelSelector: "label=page", limit: 3 });
    assert.equal(first.items.length, 3);
    const second = await configMaps().list({
      labelSelector: "label=page",
      limit: 3,
      continue: first.continueToken ?? assert.fail("no continue token"),
    });
    assert.equal(second.resourceVersion, first.resourceVersion);
    const all: string[] = [];
    for await (const item of configMaps().items({ labelSelector: "label=page", limit: 2 })) {
      assert.equal(item.kind, "ConfigMap");
      all.push(item.metadata.name);
    }
    assert.deepEqual(all, names.toSorted());
  });

  test("the pages of a list show one moment, whatever is written meanwhile; only an unselective one says what remains", async () => {
    const names = (await Promise.all(Array.from({ length: 3 }, () => make("moment"))))
      .map((made) => made.metadata.name)
      .sort();
    const selector = { labelSelector: "label=moment", limit: 1 };
    const first = await configMaps().list(selector);
    await configMaps().delete(names[1] ?? "");
    await make("moment");
    const token = first.continueToken ?? assert.fail("no continue token");
    const second = await configMaps().list({ ...selector, limit: 5, continue: token });
    assert.deepEqual(
      [...first.items, ...second.items].map((item) => item.metadata.name),
      names,
    );
    assert.equal(first.remainingItemCount, undefined);
    assert.ok(((await configMaps().list({ limit: 1 })).remainingItemCount ?? 0) > 0);
  });

  test("label and field selectors choose", async () => {
    const made = await make("chosen");
    await make("other");
    const names = async (selector: object) =>
      (await configMaps().list(selector)).items.map((item) => item.metadata.name);
    const expected = [made.metadata.name];
    assert.deepEqual(await names({ labelSelector: "label in (chosen, none)" }), expected);
    assert.deepEqual(await names({ fieldSelector: `metadata.name=${made.metadata.name}` }), expected);
    assert.deepEqual(await names({ labelSelector: "label=chosen,!label" }), []);
    const unlabelled = await configMaps().create({ metadata: { name: "unlabelled" } });
    for (const labelSelector of ["label notin (chosen)", "label!=chosen", "!label"]) {
      const chosen = await names({ labelSelector });
      assert.ok(chosen.includes(unlabelled.metadata.name), `${labelSelector} takes what has no such label`);
      assert.ok(!chosen.includes(made.metadata.name));
    }
    const both = { labelSelector: "label", fieldSelector: `metadata.name!=${made.metadata.name}` };
    assert.ok(!(await names(both)).includes(made.metadata.name));
  });
}
