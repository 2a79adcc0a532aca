import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { eui64Address, formatIpv6, parseIpv6 } from "./ipv6.ts";

test("every address is written so that it reads the same, and one way only", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (octets) => {
      const text = formatIpv6(octets);
      assert.deepEqual(parseIpv6(text), octets);
      assert.equal(text, new URL(`http://[${text}]`).hostname.slice(1, -1));
    }),
  );
});

test("the longest run of zeros is shortened, the first of equals, and a single zero never", () => {
  for (const [text, canonical] of [
    ["2001:DB8:0:0:1:0:0:0", "2001:db8:0:0:1::"],
    ["2001:db8:0:0:1:1:0:0", "2001:db8::1:1:0:0"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["::ffff:10.0.0.1", "::ffff:a00:1"],
  ] as const) {
    const octets = parseIpv6(text);
    assert.ok(octets, text);
    assert.equal(formatIpv6(octets), canonical);
  }
});

test("what is no address is none", () => {
  for (const text of [
    "",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7::8:9",
    "1:2:3:4:5:6:7:8::",
    "fe80::1%eth0",
    "fd00::/8",
    "12345::",
    "::1.2.3.256",
    "10.0.0.1",
    "g::",
  ]) {
    assert.equal(parseIpv6(text), undefined, text);
  }
});

test("a MAC makes the interface identifier with its universal bit turned over", () => {
  assert.equal(eui64Address("fe80::", "0a:58:0a:f4:00:07"), "fe80::858:aff:fef4:7");
  assert.equal(eui64Address("2001:db8:1:2:ffff::1", "52:54:00:ab:cd:ef"), "2001:db8:1:2:5054:ff:feab:cdef");
  assert.equal(eui64Address("10.0.0.1", "52:54:00:ab:cd:ef"), undefined);
  assert.equal(eui64Address("fe80::", "52:54:00:ab:cd"), undefined);
});
