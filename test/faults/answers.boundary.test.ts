/** Each answer in the API server's place is what its name says; a fault that never struck fails. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  conflicts,
  crdsGone,
  forbidden,
  goneOnContinue,
  goneOnWatch,
  htmlPages,
  serverErrors,
  throttled,
  unauthorizedOnce,
  unavailable,
} from "./answers.ts";
import {
  armed,
  ask,
  assertFired,
  connect,
  makePod,
  PODS_PATH,
  podNamed,
  proxy,
  TIMEOUT,
  until,
  useRig,
  Watch,
} from "./rig.fixture.ts";

useRig();

describe("answers in the API server's place", () => {
  it("HTML with 200 for reads and writes, which it swallows", TIMEOUT, async () => {
    const fault = await armed(htmlPages(1, 1));
    const client = connect();
    const page = await ask(client, "GET", PODS_PATH);
    assert.deepEqual([page.status, page.headers["content-type"]], [200, "text/html"]);
    assert.match(page.text, /^<!DOCTYPE html>/);
    assert.match((await ask(client, "POST", PODS_PATH, podNamed("a"))).text, /^<!DOCTYPE html>/);
    assert.equal((await ask(client, "GET", PODS_PATH)).json().items.length, 0);
    assert.equal(proxy.journal.writes.length, 0);
    assertFired(fault, 2);
  });

  it("410 to every other watch that resumes, and in place of every fifth event", TIMEOUT, async () => {
    const client = connect();
    const place = await makePod("a");
    const fault = await armed(goneOnWatch(1));
    const resume = `${PODS_PATH}?watch=true&resourceVersion=${place}`;
    assert.equal((await ask(client, "GET", resume)).status, 410);
    const watch = await Watch.open(client, `watch=true&resourceVersion=${place}`);
    for (const name of ["b", "c", "d", "e", "f"]) await makePod(name);
    assert.equal(await watch.ended, "end");
    assert.equal(watch.events.length, 5);
    const error = watch.events[4];
    assert.deepEqual(
      [error?.type, error?.object["code"], error?.object["reason"]],
      ["ERROR", 410, "Expired"],
    );
    assert.equal((await ask(client, "GET", resume)).status, 410);
    assertFired(fault, 3);
  });

  it("410 to a continue token, from a server without streaming lists", TIMEOUT, async () => {
    for (const name of ["a", "b"]) await makePod(name);
    const fault = await armed(goneOnContinue(1));
    const client = connect();
    const streaming = await ask(client, "GET", `${PODS_PATH}?watch=true&sendInitialEvents=true`);
    assert.equal(streaming.status, 422);
    const page = (await ask(client, "GET", `${PODS_PATH}?limit=500`)).json();
    assert.equal(page.items.length, 1);
    const next = `${PODS_PATH}?limit=500&continue=${encodeURIComponent(page.metadata["continue"] ?? "")}`;
    assert.equal((await ask(client, "GET", next)).status, 410);
    assert.equal((await ask(client, "GET", PODS_PATH)).json().items.length, 2);
    assertFired(fault, 3);
  });

  it("429 with Retry-After, and who comes back too early is noted", TIMEOUT, async () => {
    const fault = throttled(2, 1);
    await proxy.arm(fault);
    const client = connect();
    const refused = await ask(client, "GET", PODS_PATH);
    assert.deepEqual([refused.status, refused.headers["retry-after"]], [429, "1"]);
    assert.equal((await ask(client, "GET", `${PODS_PATH}/a`)).status, 429);
    assert.equal((await ask(client, "GET", PODS_PATH)).status, 200);
    assert.deepEqual(fault.early, ["list pods default"]);
    assertFired(fault, 2);
  });

  it("500 ten times", TIMEOUT, async () => {
    const fault = await armed(serverErrors(10));
    const client = connect();
    for (let i = 0; i < 10; i++) assert.equal((await ask(client, "GET", PODS_PATH)).status, 500);
    assert.equal((await ask(client, "GET", PODS_PATH)).status, 200);
    assertFired(fault, 10);
  });

  it("503, 403 and 404 for as long as they were told", TIMEOUT, async () => {
    const client = connect();
    for (const [fault, path, code] of [
      [unavailable(200), PODS_PATH, 503],
      [forbidden(200), PODS_PATH, 403],
      [crdsGone(200), "/apis/kubevirt.io/v1/virtualmachines", 404],
    ] as const) {
      await proxy.arm(fault);
      const since = Date.now();
      assert.equal((await ask(client, "GET", path)).status, code);
      await until(
        async () => (await ask(client, "GET", PODS_PATH)).status === 200 && Date.now() - since >= 200,
      );
      assert.ok((await proxy.lift(fault)) >= 1);
    }
  });

  it("401 once to each kind of request", TIMEOUT, async () => {
    const fault = await armed(unauthorizedOnce());
    const client = connect();
    assert.equal((await ask(client, "GET", PODS_PATH)).status, 401);
    assert.equal((await ask(client, "GET", PODS_PATH)).status, 200);
    assert.equal((await ask(client, "POST", PODS_PATH, podNamed("a"))).status, 401);
    assert.equal((await ask(client, "POST", PODS_PATH, podNamed("a"))).status, 201);
    assertFired(fault, 2);
  });

  it("409 to every second update", TIMEOUT, async () => {
    const fault = await armed(conflicts());
    const client = connect();
    await makePod("a");
    const patch = { metadata: { labels: { x: "y" } } };
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) {
      const response = await client.send({
        method: "PATCH",
        path: `${PODS_PATH}/a`,
        headers: { "content-type": "application/merge-patch+json" },
        body: JSON.stringify(patch),
        signal: AbortSignal.timeout(30_000),
      });
      for await (const _ of response.body);
      statuses.push(response.statusCode);
    }
    assert.deepEqual(statuses, [409, 200, 409, 200]);
    assertFired(fault, 2);
  });
});
