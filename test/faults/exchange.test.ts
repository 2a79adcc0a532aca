import assert from "node:assert/strict";
import { test } from "node:test";
import { describeExchange, isWrite, parseExchange } from "./exchange.ts";

const parse = (method: string, url: string, body?: unknown) => parseExchange(method, url, body, "10.0.0.1");

test("a path says what it is about", () => {
  const cases = [
    ["GET", "/api/v1/pods?watch=true", "watch pods"],
    ["GET", "/api/v1/pods?limit=500", "list pods"],
    ["GET", "/api/v1/namespaces", "list namespaces"],
    ["GET", "/api/v1/namespaces/vms", "get namespaces vms"],
    ["PUT", "/api/v1/namespaces/vms/finalize", "update namespaces/finalize vms"],
    ["GET", "/api/v1/namespaces/vms/pods", "list pods vms"],
    ["DELETE", "/api/v1/namespaces/vms/pods/a", "delete pods vms/a"],
    ["DELETE", "/api/v1/namespaces/vms/pods", "deletecollection pods vms"],
    ["PATCH", "/apis/kubevirt.io/v1/namespaces/vms/virtualmachines/a", "patch virtualmachines vms/a"],
    [
      "PUT",
      "/apis/kubevirt.io/v1/namespaces/vms/virtualmachines/a/status",
      "update virtualmachines/status vms/a",
    ],
  ] as const;
  for (const [method, url, expected] of cases) {
    assert.equal(describeExchange(parse(method, url)), expected);
  }
});

test("what is created has its name from the body", () => {
  const exchange = parse("POST", "/api/v1/namespaces/vms/pods", { metadata: { name: "a" } });
  assert.equal(describeExchange(exchange), "create pods vms/a");
});

test("a review is asked, not written", () => {
  assert.ok(!isWrite(parse("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {})));
  assert.ok(isWrite(parse("POST", "/api/v1/namespaces/vms/events", {})));
  assert.ok(!isWrite(parse("GET", "/api/v1/pods")));
});
