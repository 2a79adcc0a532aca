import assert from "node:assert/strict";
import { test } from "node:test";
import { ConflictError, InvalidError, NotFoundError } from "../../errors.ts";
import { controllerReference } from "../../ownership.ts";
import { jsonPatch, mergePatch } from "../../request.ts";
import { PODS } from "../../resources.ts";
import { collect, FINALIZER, type Session } from "./session.ts";

/** Deleting, finalizers, status, generation, and what goes with an owner. */
export function lifetimes(session: Session): void {
  const { configMaps, make } = session;

  test("a finalizer holds a deleted object, and taking it off ends it", async () => {
    const { name } = (await make("final", { finalizers: [FINALIZER] })).metadata;
    await configMaps().delete(name);
    const held = await configMaps().get(name);
    assert.ok(held.metadata.deletionTimestamp !== undefined);
    const more = mergePatch({ metadata: { finalizers: [FINALIZER, "example.com/late"] } });
    await assert.rejects(configMaps().patch(name, more), InvalidError);
    await configMaps().patch(name, mergePatch({ metadata: { finalizers: null } }));
    await assert.rejects(configMaps().get(name), NotFoundError);
  });

  test("delete with another uid or version is a Conflict and deletes nothing", async () => {
    const { name, uid } = (await make("precondition")).metadata;
    const wrong = { uid: "00000000-0000-0000-0000-000000000000" };
    await assert.rejects(configMaps().delete(name, { preconditions: wrong }), ConflictError);
    await assert.rejects(
      configMaps().delete(name, { preconditions: { resourceVersion: "1" } }),
      ConflictError,
    );
    await configMaps().delete(name, { preconditions: { uid } });
    await assert.rejects(configMaps().get(name), NotFoundError);
  });

  test("a finalizer's holder may change the object meanwhile, and a second delete is no error", async () => {
    const { name } = (await make("held", { finalizers: [FINALIZER] })).metadata;
    await configMaps().delete(name);
    const { deletionTimestamp } = (await configMaps().get(name)).metadata;
    await configMaps().delete(name);
    const changed = await configMaps().patch(name, mergePatch({ data: { n: "2" } }));
    assert.deepEqual([changed.data?.["n"], changed.metadata.deletionTimestamp], ["2", deletionTimestamp]);
    const revived = mergePatch({ metadata: { deletionTimestamp: null } });
    const still = await configMaps().patch(name, revived);
    assert.equal(still.metadata.deletionTimestamp, deletionTimestamp, "there is no way back");
    await configMaps().patch(name, jsonPatch({ op: "remove", path: "/metadata/finalizers/0" }));
    await assert.rejects(configMaps().get(name), NotFoundError);
  });

  test("a collection is deleted by selector", async () => {
    await Promise.all([make("swept"), make("swept"), make("spared")]);
    await configMaps().deleteCollection({ labelSelector: "label=swept" });
    const left = await configMaps().list({ labelSelector: "label in (swept, spared)" });
    assert.deepEqual(
      left.items.map(({ metadata }) => metadata.labels?.["label"]),
      ["spared"],
    );
  });

  test("a pod's generation counts changes of its spec and its deletion, and nothing else; eviction deletes it", async () => {
    const pods = session.client.resource(PODS).namespace(session.namespace);
    const made = await pods.create({
      metadata: { name: "generation", finalizers: [FINALIZER] },
      spec: { schedulerName: "nobody", containers: [{ name: "main", image: "none.invalid/none" }] },
    });
    assert.equal(made.metadata.generation, 1);
    const labelled = await pods.patch("generation", mergePatch({ metadata: { labels: { a: "b" } } }));
    const status = mergePatch({ status: { message: "hello" } });
    const told = await pods.patch("generation", status, { subresource: "status" });
    assert.deepEqual([labelled.metadata.generation, told.metadata.generation], [1, 1]);
    const wanted = await pods.patch("generation", mergePatch({ spec: { activeDeadlineSeconds: 5000 } }));
    assert.equal(wanted.metadata.generation, 2);
    const { name, namespace = "" } = made.metadata;
    await pods.createSubresource(name, "eviction", {
      apiVersion: "policy/v1",
      kind: "Eviction",
      metadata: { name, namespace },
    });
    const evicted = await pods.get(name);
    assert.ok(evicted.metadata.deletionTimestamp !== undefined);
    assert.equal(evicted.metadata.generation, 3);
    await pods.patch(name, mergePatch({ metadata: { finalizers: null } }));
  });

  test("a pod that has a node is left its grace to end, and a delete without grace ends it at once", async () => {
    const pods = session.client.resource(PODS).namespace(session.namespace);
    const spec = { nodeName: "contract-none", containers: [{ name: "main", image: "none.invalid/none" }] };
    await pods.create({ metadata: { name: "grace" }, spec });
    await pods.delete("grace");
    const { deletionTimestamp, deletionGracePeriodSeconds } = (await pods.get("grace")).metadata;
    assert.ok(deletionTimestamp !== undefined);
    assert.equal(deletionGracePeriodSeconds, 30);
    await pods.delete("grace", { gracePeriodSeconds: 5 });
    assert.equal((await pods.get("grace")).metadata.deletionGracePeriodSeconds, 5, "grace only shrinks");
    await pods.delete("grace", { gracePeriodSeconds: 20 });
    assert.equal((await pods.get("grace")).metadata.deletionGracePeriodSeconds, 5);
    await pods.delete("grace", { gracePeriodSeconds: 0 });
    await assert.rejects(pods.get("grace"), NotFoundError);
  });

  test("status is written through its subresource alone", async () => {
    const pods = session.client.resource(PODS).namespace(session.namespace);
    const containers = [{ name: "main", image: "none.invalid/none" }];
    const made = await pods.create({
      metadata: { name: "status" },
      spec: { containers, nodeName: "contract-none" },
    });
    const conditions = [{ type: "example.com/Contract", status: "True" as const }];
    const main = await pods.patch(
      "status",
      mergePatch({ status: { message: "no" }, metadata: { labels: { a: "b" } } }),
    );
    assert.deepEqual([main.status?.message, main.metadata.labels?.["a"]], [undefined, "b"]);
    const patch = mergePatch({
      status: { message: "yes", conditions },
      spec: { activeDeadlineSeconds: 5 },
    });
    const status = await pods.patch("status", patch, { subresource: "status" });
    assert.deepEqual([status.status?.message, status.spec.activeDeadlineSeconds], ["yes", undefined]);
    assert.equal(status.metadata.uid, made.metadata.uid);
    await pods.delete("status", { gracePeriodSeconds: 0 });
  });

  test("an owner deleted in the foreground waits for what it blocks on; an orphaned object stays", async () => {
    const owner = await make("foreground");
    const child = await make("waited-for", {
      ownerReferences: [controllerReference(owner)],
      finalizers: [FINALIZER],
    });
    await configMaps().delete(owner.metadata.name, { propagationPolicy: "Foreground" });
    const held = await configMaps().get(owner.metadata.name);
    assert.deepEqual(held.metadata.finalizers, ["foregroundDeletion"]);
    await collect(
      (signal) => configMaps().watch({ labelSelector: "label=waited-for", signal }),
      (event) => event.type !== "BOOKMARK" && event.object.metadata.deletionTimestamp !== undefined,
    );
    const { resourceVersion } = held.metadata;
    await configMaps().patch(child.metadata.name, mergePatch({ metadata: { finalizers: null } }));
    await collect(
      (signal) => configMaps().watch({ resourceVersion, labelSelector: "label=foreground", signal }),
      (event) => event.type === "DELETED",
    );
    const parent = await make("orphaning");
    const orphan = await make("orphan", { ownerReferences: [controllerReference(parent)] });
    await configMaps().delete(parent.metadata.name, { propagationPolicy: "Orphan" });
    await collect(
      (signal) => configMaps().watch({ labelSelector: "label=orphan", signal }),
      (event) => event.type !== "BOOKMARK" && event.object.metadata.ownerReferences === undefined,
    );
    assert.equal((await configMaps().get(orphan.metadata.name)).metadata.uid, orphan.metadata.uid);
  });

  test("what an object controls goes when it goes", async () => {
    const owner = await make("owner");
    const child = await make("child", { ownerReferences: [controllerReference(owner)] });
    const { resourceVersion } = child.metadata;
    await configMaps().delete(owner.metadata.name, { propagationPolicy: "Background" });
    await collect(
      (signal) => configMaps().watch({ resourceVersion, labelSelector: "label=child", signal }),
      (event) => event.type === "DELETED",
    );
    await assert.rejects(configMaps().get(child.metadata.name), NotFoundError);
  });
}
