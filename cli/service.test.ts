import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Exposed, type ServiceOptions, serviceOf } from "./service.ts";

const VM: Exposed = {
  kind: "VirtualMachine",
  metadata: { name: "web", namespace: "demo", uid: "u1" },
  spec: {
    domain: {
      devices: {
        interfaces: [
          { name: "other", bridge: {} },
          { name: "pod", masquerade: {}, ports: [{ port: 80 }, { port: 53, protocol: "UDP" }] },
        ],
      },
    },
    networks: [
      { name: "other", multus: { networkName: "x" } },
      { name: "pod", pod: {} },
    ],
  },
};
const OPTIONS: ServiceOptions = { name: "svc", protocol: "tcp", type: "clusterip" };

type Service = { readonly spec: Readonly<Record<string, unknown>>; readonly metadata: object };
const spec = (options: Partial<ServiceOptions>) =>
  (serviceOf(VM, { ...OPTIONS, ...options }) as Service).spec;

test("a Service selects the machine's pod, whichever it is, and goes with the machine", () => {
  assert.deepEqual(serviceOf(VM, { ...OPTIONS, port: 8080, targetPort: "80", portName: "http" }), {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "svc",
      namespace: "demo",
      ownerReferences: [
        {
          apiVersion: "kubevirt.io/v1",
          kind: "VirtualMachine",
          name: "web",
          uid: "u1",
          controller: true,
          blockOwnerDeletion: false,
        },
      ],
    },
    spec: {
      type: "ClusterIP",
      selector: { "vmi.kubevirt.io/id": "web" },
      ports: [{ name: "http", protocol: "TCP", port: 8080, targetPort: 80 }],
    },
  });
});

test("without a port, those of the interface on the pod network are taken", () => {
  assert.deepEqual(spec({})["ports"], [
    { name: "port-1", protocol: "TCP", port: 80 },
    { name: "port-2", protocol: "UDP", port: 53 },
  ]);
});

test("two families prefer both, unless a policy is named", () => {
  assert.deepEqual(spec({ ipFamily: "ipv6,ipv4" })["ipFamilies"], ["IPv6", "IPv4"]);
  assert.equal(spec({ ipFamily: "ipv6,ipv4" })["ipFamilyPolicy"], "PreferDualStack");
  assert.equal(spec({ ipFamilyPolicy: "requiredualstack" })["ipFamilyPolicy"], "RequireDualStack");
  assert.equal(spec({ ipFamily: "IPv4" })["ipFamilyPolicy"], undefined);
});

test("addresses of the Service's own are passed on", () => {
  const { clusterIP, externalIPs } = spec({ clusterIp: "None", externalIp: "192.0.2.1" });
  assert.deepEqual([clusterIP, externalIPs], ["None", ["192.0.2.1"]]);
});

describe("refused is", () => {
  for (const [what, options, message] of [
    ["an unknown type", { type: "ExternalName" }, /--type is ClusterIP or NodePort or LoadBalancer/],
    ["an unknown protocol", { protocol: "sctp", port: 1 }, /--protocol is TCP or UDP, not sctp/],
    ["a family named twice", { ipFamily: "IPv4,ipv4" }, /twice/],
    ["an unknown policy", { ipFamilyPolicy: "Both" }, /--ip-family-policy/],
  ] as const)
    test(what, () => assert.throws(() => spec(options), message));
  test("a machine without ports", () => {
    const bare = { ...VM, spec: { domain: { devices: {} } } };
    assert.throws(() => serviceOf(bare, OPTIONS), /lists no ports.*--port/);
  });
});
