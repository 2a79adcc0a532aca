import assert from "node:assert/strict";
import { test } from "node:test";
import { guestSubnet } from "./guest-subnet.ts";

test("a guest's subnet gives its first host to the gateway and its second to the guest", () => {
  assert.deepEqual(guestSubnet("10.0.2.77/24"), {
    network: { address: "10.0.2.0", prefixLength: 24 },
    prefixLength: 24,
    gateway: "10.0.2.1",
    guest: "10.0.2.2",
  });
  const smallest = guestSubnet("192.168.7.4/30");
  assert.deepEqual([smallest?.gateway, smallest?.guest], ["192.168.7.5", "192.168.7.6"]);
});

test("what no guest could have a subnet of is refused", () => {
  for (const cidr of [
    "10.0.2.0",
    "10.0.2.0/31",
    "10.0.2.0/32",
    "126.0.0.0/7",
    "0.0.0.0/8",
    "127.0.0.0/24",
    "169.254.75.0/24",
    "224.0.0.0/24",
    "255.255.255.0/24",
    "fd10:0:2::/120",
    "10.0.2/24",
    "",
    "x",
  ]) {
    assert.equal(guestSubnet(cidr), undefined, cidr);
  }
});
