import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCopy, scpArguments, sshArguments } from "./ssh-arguments.ts";

const SELF = ["/opt/my node", "cli.mjs", "--context", "it's 100%"];
const TARGET = { kind: "vm", name: "web", namespace: "demo" } as const;
const PROXY = `ProxyCommand='/opt/my node' cli.mjs --context 'it'\\''s 100%%' port-forward --stdio vm/web/demo 22`;

test("ssh is given a proxy command that a shell reads as it was meant", () => {
  assert.deepEqual(sshArguments(SELF, TARGET, { port: 22, username: "me" }), ["-o", PROXY, "me@vm.web.demo"]);
});

test("ssh is given every option, and the command as one word", () => {
  const options = {
    port: 2222,
    identityFile: "key",
    knownHosts: "hosts",
    localSshOpts: ["-v", "-o BatchMode=yes"],
    command: "ls /",
  };
  assert.deepEqual(sshArguments(["virtpod"], TARGET, options).slice(1), [
    "ProxyCommand=virtpod port-forward --stdio vm/web/demo 2222",
    "-o",
    "UserKnownHostsFile=hosts",
    "-v",
    "-o BatchMode=yes",
    "-i",
    "key",
    "vm.web.demo",
    "ls /",
  ]);
});

test("scp copies to a guest and from it", () => {
  const to = parseCopy("notes.txt", "me@vm/web:dir/", "demo");
  assert.deepEqual(scpArguments(SELF, to, { port: 22, recursive: true, preserve: true }).slice(2), [
    "-r",
    "-p",
    "--",
    "notes.txt",
    "me@vm.web.demo:dir/",
  ]);
  const from = parseCopy("vmi/web/other:/etc/a:b", "./x:y", "demo");
  assert.deepEqual(scpArguments(SELF, from, { port: 22, username: "me" }).slice(2), [
    "--",
    "me@vmi.web.other:/etc/a:b",
    "./x:y",
  ]);
});

test("exactly one end of a copy is in a guest", () => {
  assert.throws(() => parseCopy("a", "b", "demo"), /neither a nor b is in a guest/);
  assert.throws(() => parseCopy("vm/a:x", "vm/b:x", "demo"), /one end must be here/);
  assert.throws(() => parseCopy("pod/a:x", "b", "demo"), /no type pod/);
});
