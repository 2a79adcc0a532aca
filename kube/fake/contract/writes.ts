import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AlreadyExistsError,
  BadRequestError,
  ConflictError,
  InvalidError,
  NotFoundError,
  ServerError,
} from "../../errors.ts";
import { jsonPatch, mergePatch } from "../../request.ts";
import { type ConfigMap, LEASES, type Lease } from "../../resources.ts";
import { collect, type Session } from "./session.ts";

/** Creating, replacing, patching and applying. */
export function writes(session: Session): void {
  const { configMaps, make } = session;

  test("create fills in uid, version, creation time and a generated name, and refuses a name twice", async () => {
    const made = await make("create");
    assert.match(made.metadata.name, /^create-.{5}$/);
    assert.ok(made.metadata.uid !== "" && Number(made.metadata.resourceVersion) > 0);
    assert.match(made.metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.deepEqual([made.apiVersion, made.kind], ["v1", "ConfigMap"]);
    await assert.rejects(configMaps().create({ metadata: { name: made.metadata.name } }), AlreadyExistsError);
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
    await assert.rejects(session.client.resource(unknown).namespace(session.namespace).list(), NotFoundError);
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
      jsonPatch({ op: "test", path: "/data/m", value: "2" }, { op: "replace", path: "/data/m", value: "3" }),
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
      configMaps().apply({ metadata: { name }, data: { k: "1", ...data } }, { fieldManager: manager, force });
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
    const leases = session.client.resource(LEASES).namespace(session.namespace);
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
    const update = session.client.request({
      method: "PUT",
      path: `/api/v1/namespaces/${session.namespace}/configmaps/${made.metadata.name}`,
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

  test("a lease takes times of six decimals", async () => {
    const leases = session.client.resource(LEASES).namespace(session.namespace);
    const spec = { holderIdentity: "a", renewTime: "2026-01-01T00:00:00.000000Z", leaseTransitions: 3 };
    const made = await leases.create({ metadata: { name: "times" }, spec });
    assert.equal(made.spec?.renewTime, "2026-01-01T00:00:00.000000Z");
  });
}
