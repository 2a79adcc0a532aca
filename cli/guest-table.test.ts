import assert from "node:assert/strict";
import { test } from "node:test";
import { guestTable } from "./guest-table.ts";

test("a guest's system is told in a few lines", () => {
  const info = {
    guestAgentVersion: "10.0.2",
    supportedCommands: [{ name: "guest-ping", enabled: true }],
    hostname: "web",
    os: { prettyName: "Debian GNU/Linux 13 (trixie)", kernelRelease: "6.12", machine: "x86_64" },
    timezone: "UTC, 0",
    fsFreezeStatus: "thawed",
  };
  assert.equal(
    guestTable("guestosinfo", info),
    [
      "System:        Debian GNU/Linux 13 (trixie)",
      "Kernel:        6.12 x86_64",
      "Host name:     web",
      "Time zone:     UTC, 0",
      "Agent:         10.0.2, 1 commands",
      "File systems:  thawed",
      "",
    ].join("\n"),
  );
});

test("file systems are listed with how full they are", () => {
  const root = {
    diskName: "vda3",
    mountPoint: "/",
    fileSystemType: "ext4",
    usedBytes: 512,
    totalBytes: 2048,
  };
  assert.equal(
    guestTable("fslist", { items: [root, { ...root, mountPoint: "/proc", totalBytes: 0, usedBytes: 0 }] }),
    [
      "MOUNTED ON  DISK  TYPE  SIZE     USED   USED %",
      "/           vda3  ext4  2.0 KiB  512 B  25 %",
      "/proc       vda3  ext4  0 B      0 B    -",
      "",
    ].join("\n"),
  );
  assert.equal(guestTable("fslist", { items: [] }), "No file system is mounted.\n");
});

test("users are listed with the time of their login", () => {
  const items = [
    { userName: "me", loginTime: 1_700_000_000.5 },
    { userName: "you", domain: "corp", loginTime: 1e99 },
  ];
  assert.equal(
    guestTable("userlist", { items }),
    ["USER  DOMAIN  SINCE", "me    -       2023-11-14T22:13:20.500Z", "you   corp    -", ""].join("\n"),
  );
});

test("a guest's nonsense stays off the terminal", () => {
  assert.equal(guestTable("userlist", { items: [{ userName: "\u001b[2J" }] }).includes("\u001b"), false);
  for (const nonsense of [null, 7, "x", { items: [null, 3] }, { os: "x", supportedCommands: {} }])
    for (const list of ["guestosinfo", "userlist", "fslist"] as const)
      assert.ok(guestTable(list, nonsense).endsWith("\n"));
});
