import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Client } from "../client.ts";
import {
  AlreadyExistsError,
  BadRequestError,
  ConflictError,
  GoneError,
  InvalidError,
  NotFoundError,
  ServerError,
} from "../errors.ts";
import { Informer } from "../informer.ts";
import { controllerReference } from "../ownership.ts";
import { jsonPatch, mergePatch, type WatchEvent } from "../request.ts";
import { CONFIG_MAPS, type ConfigMap, LEASES, type Lease, PODS } from "../resources.ts";

/** A server to hold to the contract. */
export interface ContractServer {
  readonly client: Client;
  /** A namespace of the test's own. */
  readonly namespace: string;
  close(): Promise<void>;
}

const DEADLINE_MS = 20_000;
const FINALIZER = "example.com/contract";

/** What the machinery relies on. Holds for the fake and for a real API server, or the fake is wrong. */
export function describeContract(
  name: string,
  open: () => Promise<ContractServer>,
  skip: string | false = false,
): void {
  describe(`${name} keeps the contract`, { skip }, () => {
    let server: ContractServer;
    before(async () => {
      server = await open();
    });
    after(async () => {
      await server?.close();
    });
    const configMaps = () => server.client.resource(CONFIG_MAPS).namespace(server.namespace);
    const make = (label: string, extra: Partial<ConfigMap["metadata"]> = {}) =>
      configMaps().create({
        metadata: { generateName: `${label}-`, labels: { label }, ...extra },
        data: { n: "1" },
      });

    test("create fills in uid, version, creation time and a generated name, and refuses a name twice", async () => {
      const made = await make("create");
      assert.match(made.metadata.name, /^create-.{5}$/);
      assert.ok(made.metadata.uid !== "" && Number(made.metadata.resourceVersion) > 0);
      assert.match(made.metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      assert.deepEqual([made.apiVersion, made.kind], ["v1", "ConfigMap"]);
      await assert.rejects(
        configMaps().create({ metadata: { name: made.metadata.name } }),
        AlreadyExistsError,
      );
      await assert.rejects(configMaps().create({ metadata: { name: "Not_A_Name" } }), (error: unknown) => {
        assert.ok(error instanceof InvalidError);
        assert.equal(error.causes[0]?.field, "metadata.name");
        return true;
      });
    });

    test("a missing object is NotFound, and so is a kind that is not served", async () => {
      await assert.rejects(configMaps().get("missing"), NotFoundError);
      const unknown = {
        group: "contract.example.com",
        version: "v1",
        plural: "nothings",
        kind: "Nothing",
        namespaced: true,
      };
      await assert.rejects(server.client.resource(unknown).namespace(server.namespace).list(), NotFoundError);
    });

    test("update with an old version is a Conflict; one that changes nothing keeps the version", async () => {
      const made = await make("update");
      const changed = await configMaps().update({ ...made, data: { n: "2" } });
      assert.notEqual(changed.metadata.resourceVersion, made.metadata.resourceVersion);
      await assert.rejects(configMaps().update({ ...made, data: { n: "3" } }), ConflictError);
      const same = await configMaps().update(changed);
      assert.equal(same.metadata.resourceVersion, changed.metadata.resourceVersion);
    });

    test("merge patch removes by null; JSON patch tests before it writes", async () => {
      const { name } = (await make("patch")).metadata;
      const merged = await configMaps().patch(name, mergePatch({ data: { n: null, m: "2" } }));
      assert.deepEqual(merged.data, { m: "2" });
      const replaced = await configMaps().patch(
        name,
        jsonPatch(
          { op: "test", path: "/data/m", value: "2" },
          { op: "replace", path: "/data/m", value: "3" },
        ),
      );
      assert.deepEqual(replaced.data, { m: "3" });
      const stale = jsonPatch({ op: "test", path: "/data/m", value: "2" }, { op: "remove", path: "/data/m" });
      await assert.rejects(configMaps().patch(name, stale), InvalidError);
    });

    test("a write that names an old version is a Conflict, and another uid is refused", async () => {
      const made = await make("guard");
      const { name, resourceVersion } = made.metadata;
      const changed = await configMaps().patch(name, mergePatch({ data: { n: "2" } }));
      const late = mergePatch({ metadata: { resourceVersion }, data: { n: "3" } });
      await assert.rejects(configMaps().patch(name, late), ConflictError);
      const uid = "00000000-0000-0000-0000-000000000000";
      await assert.rejects(configMaps().patch(name, mergePatch({ metadata: { uid } })), InvalidError);
      const both = mergePatch({ metadata: { uid, resourceVersion } });
      await assert.rejects(configMaps().patch(name, both), ConflictError);
      const namesake = { ...changed, metadata: { ...changed.metadata, uid }, data: { n: "3" } };
      await assert.rejects(configMaps().update(namesake), ConflictError);
    });

    test("server-side apply creates, updates, removes what is no longer named, and refuses another's field", async () => {
      const apply = (manager: string, data: Record<string, string>, force = false) =>
        configMaps().apply({ metadata: { name: "applied" }, data }, { fieldManager: manager, force });
      assert.deepEqual((await apply("one", { a: "1", b: "1" })).data, { a: "1", b: "1" });
      assert.deepEqual((await apply("one", { a: "2" })).data, { a: "2" });
      await assert.rejects(apply("two", { a: "3", c: "1" }), ConflictError);
      assert.deepEqual((await apply("two", { a: "3", c: "1" }, true)).data, { a: "3", c: "1" });
    });

    test("who created or updated a field owns it: another's apply of another value names it, and one of the same shares it", async () => {
      const { name } = (await make("owned")).metadata;
      const apply = (manager: string, data: Record<string, string>, force = false) =>
        configMaps().apply(
          { metadata: { name }, data: { k: "1", ...data } },
          { fieldManager: manager, force },
        );
      await assert.rejects(apply("second", { n: "2" }), (error: unknown) => {
        assert.ok(error instanceof ConflictError && error.isAboutFields);
        assert.deepEqual(
          error.causes.map(({ field }) => field),
          [".data.n"],
        );
        return true;
      });
      await apply("second", { n: "1" });
      assert.deepEqual((await apply("second", {})).data, { k: "1", n: "1" }, "the creator wants it yet");
      await apply("second", { n: "2" }, true);
      assert.equal((await apply("second", {})).data?.["n"], undefined);
      await apply("second", { m: "1" });
      await configMaps().patch(name, mergePatch({ data: { m: "2" } }), { fieldManager: "third" });
      await assert.rejects(apply("second", { m: "1" }), ConflictError);
    });

    test("an apply that makes an object is one event", async () => {
      const { resourceVersion } = await configMaps().list({ limit: 1 });
      const metadata = { name: "made-by-apply", labels: { label: "made-by-apply" } };
      await configMaps().apply({ metadata, data: { n: "1" } }, { fieldManager: "one" });
      await configMaps().delete(metadata.name);
      const events = await collect(
        (signal) => configMaps().watch({ resourceVersion, labelSelector: "label=made-by-apply", signal }),
        (event) => event.type === "DELETED",
      );
      assert.deepEqual(
        events.map((event) => event.type),
        ["ADDED", "DELETED"],
      );
    });

    test("dry run changes nothing, whatever the verb, and answers as if it had", async () => {
      const options = { dryRun: true };
      await configMaps().create({ metadata: { name: "dry" } }, options);
      await assert.rejects(configMaps().get("dry"), NotFoundError);
      const apply = { ...options, fieldManager: "one" };
      await configMaps().apply({ metadata: { name: "dry" }, data: { n: "1" } }, apply);
      await assert.rejects(configMaps().get("dry"), NotFoundError);
      const made = await make("dry");
      const { name } = made.metadata;
      assert.equal((await configMaps().update({ ...made, data: { n: "2" } }, options)).data?.["n"], "2");
      const patch = mergePatch({ data: { n: "3" } });
      assert.equal((await configMaps().patch(name, patch, options)).data?.["n"], "3");
      const applied = { metadata: { name }, data: { n: "4" } };
      assert.equal((await configMaps().apply(applied, { ...apply, force: true })).data?.["n"], "4");
      await configMaps().delete(name, options);
      assert.equal((await configMaps().get(name)).metadata.resourceVersion, made.metadata.resourceVersion);
    });

    test("a lease is replaced only at a version; a config map at whichever it has", async () => {
      const { name } = (await make("unconditional")).metadata;
      const replaced = { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { n: "9" } };
      assert.equal((await configMaps().update(replaced as unknown as ConfigMap)).data?.["n"], "9");
      const leases = server.client.resource(LEASES).namespace(server.namespace);
      await leases.create({ metadata: { name: "unconditional" }, spec: { holderIdentity: "a" } });
      const blind = {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: "unconditional" },
      };
      await assert.rejects(leases.update(blind as unknown as Lease), InvalidError);
    });

    test("what makes no sense is a BadRequest: another name, unknown fields to select by, a token that is none", async () => {
      const made = await make("senseless");
      const renamed = { ...made, metadata: { ...made.metadata, name: "renamed" } };
      const update = server.client.request({
        method: "PUT",
        path: `/api/v1/namespaces/${server.namespace}/configmaps/${made.metadata.name}`,
        action: "rename",
        body: renamed,
      });
      await assert.rejects(update, BadRequestError);
      await assert.rejects(configMaps().list({ fieldSelector: "data.n=1" }), BadRequestError);
      await assert.rejects(configMaps().list({ labelSelector: "a b" }), BadRequestError);
      await assert.rejects(configMaps().list({ limit: 1, continue: "nonsense" }), BadRequestError);
      await assert.rejects(
        configMaps().create({ metadata: { name: "early", resourceVersion: "1" } }),
        (error: unknown) => error instanceof BadRequestError || error instanceof ServerError,
      );
    });

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
      const pods = server.client.resource(PODS).namespace(server.namespace);
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

    test("status is written through its subresource alone", async () => {
      const pods = server.client.resource(PODS).namespace(server.namespace);
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

    test("a watch tells adds, changes and deletes from a version on, with growing versions", async () => {
      const { resourceVersion } = await configMaps().list({ limit: 1 });
      const { name } = (await make("watched")).metadata;
      await configMaps().patch(name, mergePatch({ data: { n: "2" } }));
      await configMaps().delete(name);
      const events = await collect(
        (signal) => configMaps().watch({ resourceVersion, labelSelector: "label=watched", signal }),
        (event) => event.type === "DELETED",
      );
      assert.deepEqual(
        events.map((event) => event.type),
        ["ADDED", "MODIFIED", "DELETED"],
      );
      const versions = events.map((event) =>
        event.type === "BOOKMARK" ? 0 : Number(event.object.metadata.resourceVersion),
      );
      assert.deepEqual(
        versions,
        versions.toSorted((a, b) => a - b),
      );
      assert.equal(new Set(versions).size, 3);
    });

    test("a change of labels makes an object enter and leave a watch's selection", async () => {
      const { metadata } = await make("outside");
      const { resourceVersion, name } = metadata;
      await configMaps().patch(name, mergePatch({ metadata: { labels: { label: "inside" } } }));
      await configMaps().patch(name, mergePatch({ metadata: { labels: { label: "outside" } } }));
      const events = await collect(
        (signal) => configMaps().watch({ resourceVersion, labelSelector: "label=inside", signal }),
        (event) => event.type === "DELETED",
      );
      assert.deepEqual(
        events.map((event) => event.type),
        ["ADDED", "DELETED"],
      );
    });

    test("a streaming list gives the present objects and then the bookmark that ends them", async () => {
      const { name } = (await make("streamed")).metadata;
      const events = await collect(
        (signal) =>
          configMaps().watch({
            sendInitialEvents: true,
            resourceVersionMatch: "NotOlderThan",
            allowBookmarks: true,
            labelSelector: "label=streamed",
            signal,
          }),
        (event) => event.type === "BOOKMARK",
      );
      const [added, bookmark] = events;
      assert.ok(added?.type === "ADDED" && added.object.metadata.name === name);
      assert.ok(
        bookmark?.type === "BOOKMARK" && bookmark.initialEventsEnd && Number(bookmark.resourceVersion) > 0,
      );
    });

    test("a watch from a version too old is Gone; from none it begins with what is there; the server ends it in time", async () => {
      const old = configMaps().watch({ resourceVersion: "1", signal: AbortSignal.timeout(DEADLINE_MS) });
      await assert.rejects(old.next(), GoneError);
      const { name } = (await make("present")).metadata;
      const watch = { labelSelector: "label=present", timeoutSeconds: 1 };
      const events: WatchEvent<ConfigMap>[] = [];
      const signal = AbortSignal.timeout(DEADLINE_MS);
      for await (const event of configMaps().watch({ ...watch, signal })) {
        events.push(event);
      }
      assert.deepEqual(
        events.map((event) => [event.type, event.type === "BOOKMARK" ? "" : event.object.metadata.name]),
        [["ADDED", name]],
      );
    });

    test("a streaming list must say which version it takes", async () => {
      const signal = AbortSignal.timeout(DEADLINE_MS);
      const vague = configMaps().watch({ sendInitialEvents: true, allowBookmarks: true, signal });
      await assert.rejects(vague.next(), InvalidError);
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

    test("an informer holds what the server holds, whichever way it lists, and sees its own writes", async () => {
      for (const streamingList of [true, false]) {
        const stop = new AbortController();
        const informer = new Informer({ resource: configMaps(), streamingList, pageSize: 3, freeze: true });
        const running = informer.run(stop.signal);
        await informer.waitForSync(AbortSignal.timeout(DEADLINE_MS));
        const made = await make("informed");
        await informer.waitForVersion(made.metadata.resourceVersion, { timeoutMs: DEADLINE_MS });
        const listed = (await configMaps().list()).items;
        assert.deepEqual(
          informer
            .list()
            .map((object) => [object.metadata.name, object.metadata.resourceVersion])
            .sort(),
          listed.map((object) => [object.metadata.name, object.metadata.resourceVersion]).sort(),
        );
        stop.abort();
        await running;
      }
    });

    test("a lease takes times of six decimals", async () => {
      const leases = server.client.resource(LEASES).namespace(server.namespace);
      const spec = { holderIdentity: "a", renewTime: "2026-01-01T00:00:00.000000Z", leaseTransitions: 3 };
      const made = await leases.create({ metadata: { name: "times" }, spec });
      assert.equal(made.spec?.renewTime, "2026-01-01T00:00:00.000000Z");
    });
  });
}

/** The events of a watch up to and with the first that `isLast` accepts. */
async function collect(
  open: (signal: AbortSignal) => AsyncIterable<WatchEvent<ConfigMap>>,
  isLast: (event: WatchEvent<ConfigMap>) => boolean,
): Promise<WatchEvent<ConfigMap>[]> {
  const events: WatchEvent<ConfigMap>[] = [];
  for await (const event of open(AbortSignal.timeout(DEADLINE_MS))) {
    events.push(event);
    if (isLast(event)) {
      return events;
    }
  }
  return assert.fail(`the watch ended after ${events.length} events`);
}
