import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as answers from "./answers.ts";
import { GuestAgentError } from "./errors.ts";

const OWN = "02:00:00:00:00:01";

const READERS: Readonly<Record<string, (answer: unknown) => unknown>> = {
  "guest-info": answers.readAgentVersion,
  "guest-get-osinfo": answers.readOsInfo,
  "guest-get-host-name": answers.readHostname,
  "guest-get-timezone": answers.readTimezone,
  "guest-get-users": answers.readUsers,
  "guest-get-fsinfo": answers.readFileSystems,
  "guest-network-get-interfaces": (answer) => answers.readInterfaces(answer, new Set([OWN])),
  "guest-fsfreeze-status": answers.readFrozen,
};

/** Keys that the readers look at, so that what is generated reaches them. */
const KEYS = [
  "name",
  "user",
  "mountpoint",
  "disk",
  "ip-addresses",
  "ip-address",
  "hardware-address",
  "offset",
];
const { value: hostile } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.jsonValue(),
    fc.string({ unit: "binary", maxLength: 400 }),
    fc.array(tie("value"), { maxLength: 40 }),
    fc.dictionary(fc.constantFrom(...KEYS), tie("value")),
  ),
}));

describe("an answer of a guest's agent", () => {
  for (const [name, read] of Object.entries(READERS)) {
    it(`to ${name} is read or refused, whatever it is, and never grows past its limits`, () => {
      fc.assert(
        fc.property(hostile, (answer) => {
          try {
            const text = JSON.stringify(read(answer)) ?? "";
            assert(text.length < 256 * 1024, `${text.length} characters`);
          } catch (error) {
            assert(error instanceof GuestAgentError, String(error));
          }
        }),
        { numRuns: 100 },
      );
    });
  }

  it("is cut where it is too long, but between characters", () => {
    const { name } = answers.readOsInfo({ name: `${"x".repeat(255)}😀` });
    assert.equal(name?.length, 256);
    assert(name.isWellFormed());
  });

  it("tells of no user without a name, and of a time only where there is one", () => {
    assert.deepEqual(
      answers.readUsers([{ user: "" }, { user: "a", "login-time": "now" }, { user: "b", domain: "d" }]),
      [
        { userName: "a", loginTime: 0 },
        { userName: "b", domain: "d", loginTime: 0 },
      ],
    );
  });

  it("tells of file systems without their sizes where an old agent doesn't know them", () => {
    assert.deepEqual(answers.readFileSystems([{ name: "vda1", mountpoint: "/", type: "ext4", disk: [{}] }]), [
      {
        diskName: "vda1",
        mountPoint: "/",
        fileSystemType: "ext4",
        usedBytes: 0,
        totalBytes: 0,
        disks: [{ busType: "unknown" }],
      },
    ]);
  });
});

describe("the guest's interfaces", () => {
  const read = (entries: unknown[]) => answers.readInterfaces(entries, new Set([OWN]));
  const names = (entries: unknown[]) => read(entries).map(({ interfaceName }) => interfaceName);

  it("come without the loopback, with MAC addresses in lower case and addresses that are some", () => {
    const addresses = [
      { "ip-address": "fe80::1" },
      { "ip-address": "10.0.0.1" },
      { "ip-address": "fe80::1%eth0" },
    ];
    assert.deepEqual(
      read([
        { name: "lo" },
        { name: "eth0", "hardware-address": OWN.toUpperCase(), "ip-addresses": addresses },
      ]),
      [{ interfaceName: "eth0", macAddress: OWN, ipAddresses: ["fe80::1", "10.0.0.1"] }],
    );
  });

  it("are the VMI's own and ten others, wherever the own ones stand", () => {
    const others = Array.from({ length: 40 }, (_, i) => ({ name: `veth${i}` }));
    assert.deepEqual(names([...others, { name: "eth0", "hardware-address": OWN }]), [
      ...others.slice(0, 10).map(({ name }) => name),
      "eth0",
    ]);
  });

  it("are no more of the VMI's own than it has, though many claim its address", () => {
    const claims = Array.from({ length: 40 }, (_, i) => ({ name: `vlan${i}`, "hardware-address": OWN }));
    assert.deepEqual(names(claims), ["vlan0"]);
  });
});
