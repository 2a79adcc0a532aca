import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { classlessRoutes, leaseOptions, searchList } from "./options.ts";
import { LEASE } from "./packet.fixture.ts";

/** Reads compressed names as RFC 1035 section 4.1.4 has them. */
function readNames(bytes: Uint8Array): readonly string[] {
  const names: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const labels: string[] = [];
    let cursor = at;
    let jumped = false;
    for (let length = bytes[cursor] ?? 0; length !== 0; length = bytes[cursor] ?? 0) {
      if (length >= 0xc0) {
        const target = ((length & 0x3f) << 8) | (bytes[cursor + 1] ?? 0);
        assert.ok(target < cursor, "a pointer points back");
        if (!jumped) at = cursor + 2;
        jumped = true;
        cursor = target;
        continue;
      }
      labels.push(Buffer.from(bytes.subarray(cursor + 1, cursor + 1 + length)).toString("ascii"));
      cursor += 1 + length;
    }
    if (!jumped) at = cursor + 1;
    names.push(labels.join("."));
  }
  return names;
}

test("a search list is read back as it was, and shared suffixes are written once", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.domain(), { maxLength: 12 }), (domains) => {
      assert.deepEqual(readNames(searchList(domains)), domains);
    }),
  );
  assert.equal(
    Buffer.from(searchList(["team.svc.cluster.local", "svc.cluster.local", "cluster.local"])).toString("hex"),
    "047465616d" + "03737663" + "07636c7573746572" + "056c6f63616c" + "00" + "c005" + "c009",
  );
});

test("classless routes hold as many octets of a destination as its prefix needs (RFC 3442)", () => {
  const bytes = classlessRoutes([
    { destination: "169.254.1.1/32", gateway: "0.0.0.0" },
    { destination: "10.17.0.0/16", gateway: "10.0.0.2" },
    { destination: "10.229.0.128/25", gateway: "10.0.0.3" },
    { destination: "0.0.0.0/0", gateway: "10.0.0.1" },
  ]);
  assert.equal(
    Buffer.from(bytes).toString("hex"),
    "20a9fe010100000000" + "100a110a000002" + "190ae500800a000003" + "000a000001",
  );
});

test("what a lease has no value for is not an option", () => {
  const { router: _, domain: __, ...rest } = LEASE;
  const bare = leaseOptions({
    ...rest,
    prefixLength: 32,
    routes: [],
    dnsServers: [],
    ntpServers: [],
    searchDomains: [],
  });
  assert.deepEqual([...bare.keys()], [1, 12, 26]);
});
