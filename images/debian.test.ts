import assert from "node:assert/strict";
import { test } from "node:test";
import { DebianError, debFile, parseArchives, parseSimulation, sourcesList } from "./debian.ts";

test("sources follow the machine's mirrors to the images' own release", () => {
  const archives = parseArchives(
    [
      "Debian|http://mirror.test/debian/",
      "Debian|http://mirror.test/debian/",
      "Debian-Security|http://mirror.test/security/",
      "Debian Backports|http://mirror.test/debian/",
      "",
    ].join("\n"),
  );
  const signed = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
  assert.equal(
    sourcesList(archives),
    [
      `${signed} http://mirror.test/debian/ trixie main`,
      `${signed} http://mirror.test/debian/ trixie-updates main`,
      `${signed} http://mirror.test/security/ trixie-security main`,
      "",
    ].join("\n"),
  );
});

test("a machine without a Debian mirror is told so", () => {
  assert.throws(() => sourcesList([{ label: "Debian-Security", uri: "http://mirror.test/" }]), DebianError);
  assert.throws(() => sourcesList([]), /apt knows no Debian mirror/);
});

test("a simulated installation lists new and upgraded packages, and nothing else", () => {
  const text = [
    "Reading package lists...",
    "Inst gcc-14-base (14.2.0-19 Debian:13.5/stable [amd64])",
    "Inst zlib1g [1:1.2] (1:1.3.dfsg+really1.3.1-1+deb13u1 Debian:13.5/stable, Debian-Security:13/stable-security [amd64])",
    "Inst netbase (6.5 Debian:13.5/stable [all]) []",
    "Conf gcc-14-base (14.2.0-19 Debian:13.5/stable [amd64])",
  ].join("\n");
  assert.deepEqual(parseSimulation(text), [
    { name: "gcc-14-base", version: "14.2.0-19", architecture: "amd64" },
    { name: "zlib1g", version: "1:1.3.dfsg+really1.3.1-1+deb13u1", architecture: "amd64" },
    { name: "netbase", version: "6.5", architecture: "all" },
  ]);
});

test("a package's file name escapes the epoch's colon as apt does", () => {
  const entry = { name: "zlib1g", version: "1:1.3-1", architecture: "amd64" };
  assert.equal(debFile(entry), "zlib1g_1%3a1.3-1_amd64.deb");
});
