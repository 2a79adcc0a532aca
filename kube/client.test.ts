import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeClock } from "../lib/fake-clock.ts";
import { Client } from "./client.ts";
import type { Credentials } from "./config.ts";
import * as errors from "./errors.ts";
import { FakeApiServer, type FakeResponse } from "./fake/server.ts";
import { FakeTransport } from "./fake/transport.ts";
import { FileToken, inClusterConfig } from "./in-cluster.ts";
import { KubeMetrics } from "./metrics.ts";
import { mergePatch, queryString, resourcePath } from "./request.ts";
import { CONFIG_MAPS, NODES, PODS } from "./resources.ts";
import { settle } from "./testing/turns.ts";
import type { Transport, TransportRequest } from "./transport.ts";

/** A client whose server gives these answers first, and then works. */
function start(
  answers: FakeResponse[] = [],
  transportOf = (server: FakeApiServer): Transport => new FakeTransport(server),
) {
  const server = new FakeApiServer({ resources: [CONFIG_MAPS, PODS] });
  server.intercept = () => answers.shift();
  const clock = new FakeClock();
  const metrics = new KubeMetrics();
  let refreshes = 0;
  const credentials: Credentials = {
    headers: async () => ({ authorization: `Bearer ${refreshes}` }),
    refresh: () => {
      refreshes += 1;
      return true;
    },
  };
  const client = new Client({
    transport: transportOf(server),
    credentials,
    clock,
    metrics,
    userAgent: "test/1",
    random: () => 0,
  });
  return { server, client, clock, metrics, configMaps: client.resource(CONFIG_MAPS).namespace("default") };
}

const status = (code: number, reason?: string): FakeResponse => ({
  statusCode: code,
  body: { kind: "Status", code, message: "because", ...(reason !== undefined && { reason }) },
});

describe("errors of the client", () => {
  const cases: [number, string | undefined, abstract new (...args: never[]) => errors.KubeError, string][] = [
    [400, "BadRequest", errors.BadRequestError, "KUBE_BAD_REQUEST"],
    [403, "Forbidden", errors.ForbiddenError, "KUBE_FORBIDDEN"],
    [404, "NotFound", errors.NotFoundError, "KUBE_NOT_FOUND"],
    [409, "Conflict", errors.ConflictError, "KUBE_CONFLICT"],
    [409, "AlreadyExists", errors.AlreadyExistsError, "KUBE_ALREADY_EXISTS"],
    [410, "Expired", errors.GoneError, "KUBE_GONE"],
    [410, undefined, errors.GoneError, "KUBE_GONE"],
    [422, "Invalid", errors.InvalidError, "KUBE_INVALID"],
    [429, "TooManyRequests", errors.ThrottledError, "KUBE_THROTTLED"],
    [500, "ServerTimeout", errors.TimeoutError, "KUBE_TIMEOUT"],
    [500, "InternalError", errors.ServerError, "KUBE_SERVER_ERROR"],
    [503, undefined, errors.ServerError, "KUBE_SERVER_ERROR"],
    [504, "Timeout", errors.TimeoutError, "KUBE_TIMEOUT"],
  ];
  for (const [code, reason, type, stable] of cases) {
    test(`${code} ${reason ?? "without a reason"} is ${type.name}, which says what was done on what`, async () => {
      const { configMaps } = start([status(code, reason)]);
      await assert.rejects(configMaps.patch("a", mergePatch({})), (error: unknown) => {
        assert.ok(error instanceof type);
        assert.deepEqual([error.code, error.statusCode], [stable, code]);
        assert.match(error.message, /^patch configmaps default\/a: because/);
        return true;
      });
    });
  }

  test("JSON that is no object, or no list, is a ProtocolError: it must not look like an empty list", async () => {
    const { configMaps } = start(Array.from({ length: 4 }, () => ({ statusCode: 200, body: {} })));
    await assert.rejects(configMaps.list(), errors.ProtocolError);
    await assert.rejects(configMaps.listMetadata(), errors.ProtocolError);
    await assert.rejects(configMaps.get("a"), errors.ProtocolError);
    await assert.rejects(configMaps.create({ metadata: { name: "a" } }), errors.ProtocolError);
  });

  test("a page of HTML is told by its code, and as a success is a ProtocolError", async () => {
    const { configMaps } = start([
      { statusCode: 502, text: "<html>bad gateway" },
      { statusCode: 200, text: "<html>log in" },
    ]);
    await assert.rejects(configMaps.get("a"), /502.*|<html>bad gateway/);
    await assert.rejects(configMaps.get("a"), errors.ProtocolError);
  });
});

describe("a request", () => {
  test("carries the caller's user agent and credentials", async () => {
    const { server, configMaps } = start();
    await configMaps.create({ metadata: { name: "a" } });
    const { headers, body } = server.requests[0] ?? assert.fail();
    assert.deepEqual(
      [headers["user-agent"], headers["authorization"], headers["content-type"]],
      ["test/1", "Bearer 0", "application/json"],
    );
    assert.deepEqual(JSON.parse(body), { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } });
  });

  test("that opens a watch has a deadline for its head, and none for its events", async () => {
    const { clock, configMaps } = start();
    const signal = new AbortController().signal;
    const events = configMaps.watch({ signal });
    const first = events.next();
    await settle();
    clock.advance(3600_000);
    await configMaps.create({ metadata: { name: "late" } });
    const { value } = await first;
    assert.equal(value?.type, "ADDED");
    await events.return();
    assert.equal(clock.pending, 0, "no timer is left");
  });

  test("that meets 401 is sent once more with fresh credentials, and not a third time", async () => {
    const { server, configMaps } = start([status(401, "Unauthorized")]);
    await configMaps.create({ metadata: { name: "a" } });
    assert.equal(server.requests[1]?.headers["authorization"], "Bearer 1");
    const hopeless = start([status(401), status(401), status(401)]);
    await assert.rejects(hopeless.configMaps.list(), errors.UnauthorizedError);
    assert.equal(hopeless.server.requests.length, 2);
  });

  test("waits as long as Retry-After says before it is sent again, if the deadline allows, and counts it", async () => {
    const later: FakeResponse = { statusCode: 429, text: "later", headers: { "retry-after": "2" } };
    const { clock, configMaps, metrics, server } = start([later]);
    const creating = configMaps.create({ metadata: { name: "a" } });
    await settle();
    clock.advance(1999);
    await settle();
    assert.equal(server.requests.length, 1);
    clock.advance(1);
    assert.equal((await creating).metadata.name, "a");
    const text = await metrics.registry.metrics();
    assert.match(text, /rest_client_request_retries_total{code="429",verb="POST",host="fake"} 1/);
    assert.match(text, /rest_client_requests_total{code="201",method="POST",host="fake"} 1/);
    const late = start([{ ...later, headers: { "retry-after": "60" } }]);
    await assert.rejects(late.configMaps.get("a"), (error: unknown) => {
      assert.ok(error instanceof errors.ThrottledError);
      assert.equal(error.retryAfterMs, 60_000);
      return true;
    });
  });

  test("is measured in time and in bytes both ways, what failed too", async () => {
    const { configMaps, metrics } = start([{ statusCode: 404, text: "ä" }]);
    await assert.rejects(configMaps.get("ä"), errors.NotFoundError);
    const text = await metrics.registry.metrics();
    assert.match(text, /rest_client_request_duration_seconds_count{verb="GET",host="fake"} 1/);
    assert.match(text, /rest_client_response_size_bytes_sum{verb="GET",host="fake"} 2/);
    await configMaps.create({ metadata: { name: "a" }, data: { n: "ä" } });
    assert.match(
      await metrics.registry.metrics(),
      /rest_client_request_size_bytes_sum{verb="POST",host="fake"} 80/,
    );
  });

  test("without Retry-After is not sent again, whatever failed", async () => {
    const { server, configMaps } = start([status(500), status(429)]);
    await assert.rejects(configMaps.create({ metadata: { name: "a" } }), errors.ServerError);
    await assert.rejects(configMaps.list(), errors.ThrottledError);
    assert.equal(server.requests.length, 2);
  });

  test("that only reads survives a broken connection; a write does not, for it may have happened", async () => {
    let breaks = 1;
    const breaking = (server: FakeApiServer): Transport => {
      const inner = new FakeTransport(server);
      return {
        host: "fake",
        close: () => inner.close(),
        send: (request: TransportRequest) =>
          breaks-- > 0 ? Promise.reject(new Error("ECONNRESET")) : inner.send(request),
      };
    };
    const { configMaps, clock } = start([], breaking);
    const listing = configMaps.list();
    await settle();
    clock.advance(1000);
    assert.deepEqual((await listing).items, []);
    breaks = 1;
    await assert.rejects(configMaps.create({ metadata: { name: "a" } }), (error: unknown) => {
      assert.ok(error instanceof errors.ConnectionError);
      assert.equal((error.cause as Error).message, "ECONNRESET");
      return true;
    });
  });

  test("ends at its deadline, or with the caller's reason, and leaves no timer", async () => {
    const silent = (server: FakeApiServer): Transport => ({
      host: "fake",
      close: () => new FakeTransport(server).close(),
      send: ({ signal }) =>
        new Promise((_, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
        ),
    });
    const { configMaps, clock } = start([], silent);
    const slow = configMaps.get("a", { timeoutMs: 500 });
    await settle();
    clock.advance(500);
    await assert.rejects(slow, /get configmaps default\/a: no answer within 500 ms/);
    const caller = new AbortController();
    const left = configMaps.get("a", { signal: caller.signal });
    caller.abort(new Error("the user left"));
    await assert.rejects(left, /the user left/);
    assert.equal(clock.pending, 0);
  });
});

test("paths follow group, scope, name and subresource", () => {
  assert.equal(resourcePath(PODS, "ns", "a", "status"), "/api/v1/namespaces/ns/pods/a/status");
  assert.equal(resourcePath(NODES, "ignored", "n"), "/api/v1/nodes/n");
  const vms = {
    group: "kubevirt.io",
    version: "v1",
    plural: "virtualmachines",
    kind: "VirtualMachine",
    namespaced: true,
  };
  assert.equal(resourcePath(vms, undefined), "/apis/kubevirt.io/v1/virtualmachines");
  assert.equal(queryString({ a: undefined, labelSelector: "x in (a,b)" }), "?labelSelector=x+in+%28a%2Cb%29");
});

test("a token file is read anew every minute and after a 401, and a failed read keeps the old token", async () => {
  const clock = new FakeClock();
  let reads = 0;
  const token = new FileToken(async () => {
    reads += 1;
    if (reads === 3) {
      throw new Error("swapped just now");
    }
    return `token-${reads}\n`;
  }, clock);
  const authorization = async () => (await token.headers())["authorization"];
  assert.equal(await authorization(), "Bearer token-1");
  clock.advance(59_999);
  assert.equal(await authorization(), "Bearer token-1");
  clock.advance(1);
  assert.equal(await authorization(), "Bearer token-2");
  token.refresh();
  assert.equal(await authorization(), "Bearer token-2");
  assert.equal(await authorization(), "Bearer token-4");
});

test("in-cluster configuration outside a pod says what is missing", async () => {
  await assert.rejects(inClusterConfig({}), /KUBERNETES_SERVICE_HOST is not set/);
  const environment = { KUBERNETES_SERVICE_HOST: "fd00::1" };
  await assert.rejects(inClusterConfig(environment, { directory: "/nonexistent" }), errors.ConfigError);
});
