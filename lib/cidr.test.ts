import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { broadcastOf, formatIpv4, maskOf, networkOf, parseIpv4, parseIpv4Cidr } from "./cidr.ts";

test("an address survives the way to a number and back", () => {
  fc.assert(
    fc.property(fc.ipV4(), (text) => {
      const value = parseIpv4(text);
      assert.ok(value !== undefined);
      assert.equal(formatIpv4(value), text);
    }),
  );
});

test("what is not a dotted address or prefix is refused", () => {
  for (const text of ["", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", "::1", "1.2.3.4 ", "a.b.c.d"]) {
    assert.equal(parseIpv4(text), undefined, text);
  }
  for (const text of ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "fd00::/64", "10.0.0.0/8/8"]) {
    assert.equal(parseIpv4Cidr(text), undefined, text);
  }
});

test("network and broadcast address follow from the prefix", () => {
  const cidr = parseIpv4Cidr("10.244.3.77/22");
  assert.ok(cidr);
  assert.equal(networkOf(cidr), "10.244.0.0");
  assert.equal(broadcastOf(cidr), "10.244.3.255");
  assert.equal(networkOf({ address: "192.0.2.1", prefixLength: 0 }), "0.0.0.0");
  assert.equal(broadcastOf({ address: "192.0.2.1", prefixLength: 32 }), undefined);
  assert.equal(formatIpv4(maskOf(32)), "255.255.255.255");
});
