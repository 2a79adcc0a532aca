import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { instance } from "./instance.fixture.ts";
import { resolveInterfaces } from "./interfaces.ts";
import { SpecError } from "./spec-error.ts";

describe("a guest's interfaces", () => {
  it("are one on the bridge where none is named, and none where that is not wanted", () => {
    const resolved = resolveInterfaces(instance().spec);
    assert.deepEqual(
      resolved.map(({ name, binding }) => [name, binding]),
      [["default", "bridge"]],
    );
    const without = instance({ domain: { devices: { autoattachPodInterface: false } } });
    assert.deepEqual(resolveInterfaces(without.spec), []);
  });

  it("has no more than 16 queues per interface, and one where the card has no more", () => {
    const queues = (cores: number, model: "virtio" | "e1000") =>
      resolveInterfaces(
        instance({
          domain: {
            cpu: { cores },
            devices: { networkInterfaceMultiqueue: true, interfaces: [{ name: "n", model }] },
          },
          networks: [{ name: "n", pod: {} }],
        }).spec,
      )[0]?.queues;
    assert.deepEqual([queues(4, "virtio"), queues(512, "virtio"), queues(4, "e1000")], [4, 16, 1]);
  });

  it("have their listed TCP ports on the pod's loopback where they are on the bridge of the pod network", () => {
    const ports = [
      { port: 80 },
      { name: "again", port: 80, protocol: "TCP" as const },
      { port: 53, protocol: "UDP" as const },
      { port: 22, protocol: "TCP" as const },
    ];
    const loopback = (iface: object, network: object) =>
      resolveInterfaces(
        instance({
          domain: { devices: { interfaces: [{ name: "n", ...iface }] } },
          networks: [{ name: "n", ...network }],
        }).spec,
      )[0]?.loopbackPorts;
    assert.deepEqual(loopback({ ports }, { pod: {} }), [80, 22]);
    assert.equal(loopback({}, { pod: {} }), undefined);
    assert.equal(loopback({ ports, masquerade: {} }, { pod: {} }), undefined);
    assert.equal(loopback({ ports }, { multus: { networkName: "other" } }), undefined);
  });

  it("have the place, the index and the link that the spec says, and are not there when absent", () => {
    const interfaces = [
      { name: "a", pciAddress: "0000:00:0A.0", acpiIndex: 3, state: "down" as const },
      { name: "b", state: "up" as const },
      { name: "c", state: "absent" as const },
    ];
    const networks = [
      { name: "a", pod: {} },
      ...["b", "c"].map((name) => ({ name, multus: { networkName: name } })),
    ];
    const resolve = (names: string) =>
      resolveInterfaces(
        instance({
          domain: { devices: { interfaces: interfaces.filter(({ name }) => names.includes(name)) } },
          networks,
        }).spec,
      );
    assert.deepEqual(
      resolve("abc").map(({ name, pciAddress, acpiIndex, linkState }) => [
        name,
        pciAddress,
        acpiIndex,
        linkState,
      ]),
      [
        ["a", "0000:00:0a.0", 3, "down"],
        ["b", undefined, undefined, undefined],
      ],
    );
    assert.deepEqual(resolve("c"), [], "nor does the default come in its place");
  });

  it("have their dhcpOptions, and none where none are written", () => {
    const dhcpOptions = { bootFileName: "boot.ipxe", privateOptions: [{ option: 224, value: "x" }] };
    const resolved = (iface: object) =>
      resolveInterfaces(
        instance({
          domain: { devices: { interfaces: [{ name: "n", ...iface }] } },
          networks: [{ name: "n", pod: {} }],
        }).spec,
      ).map((one) => one.dhcpOptions);
    assert.deepEqual(resolved({ dhcpOptions }), [dhcpOptions]);
    assert.deepEqual(resolved({ bridge: {} }), [undefined]);
  });

  it("that the schema should have refused are refused", () => {
    for (const vmNetworkCIDR of ["10.0.2.0/31", "0.1.0.0/16", "fd10::/120", "10.0.2.0"]) {
      const interfaces = [{ name: "n", masquerade: {} }];
      const networks = [{ name: "n", pod: { vmNetworkCIDR } }];
      assert.throws(
        () => resolveInterfaces(instance({ domain: { devices: { interfaces } }, networks }).spec),
        SpecError,
      );
    }
    const lonely = instance({ domain: { devices: { interfaces: [{ name: "n" }] } } });
    assert.throws(() => resolveInterfaces(lonely.spec), SpecError);
  });
});
