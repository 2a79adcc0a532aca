/** The probe on the machine of the test: its guest under TCG, and libvirt's cache as a launcher uses it. */
import assert from "node:assert/strict";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { EMULATOR } from "../domain/xml.ts";
import { daemonPaths } from "../libvirt/daemon.ts";
import { connectLibvirt } from "../libvirt/driver.ts";
import { Session, skip, temporaryDirectory, user } from "../libvirt/session.fixture.ts";
import type { Log } from "../log.ts";
import { tryGuest } from "./guest.ts";
import { runProbe } from "./probe.ts";

describe("the probe's guest", { skip }, () => {
  it("runs to its end", async (t) => {
    const directory = await temporaryDirectory(t);
    const verdict = await tryGuest("tcg", { emulator: EMULATOR, directory });
    assert.deepEqual(verdict, { usable: true, reason: "a 64-bit guest ran under TCG" });
    assert.deepEqual(await readdir(directory), []);
  });

  it("counts as not run when it takes longer than its deadline", async (t) => {
    const directory = await temporaryDirectory(t);
    const verdict = await tryGuest("tcg", { emulator: EMULATOR, directory, deadlineMs: 1 });
    assert.deepEqual(verdict, { usable: false, reason: "a 64-bit guest hung under TCG for 1 ms" });
  });

  it("counts as not run, with the reason, when qemu ends otherwise", async (t) => {
    const directory = await temporaryDirectory(t);
    const ended = await tryGuest("tcg", { emulator: "/bin/false", directory });
    assert.deepEqual(ended, {
      usable: false,
      reason: "a 64-bit guest didn't run under TCG; qemu ended with exit code 1",
    });
    const absent = await tryGuest("tcg", { emulator: "/nonexistent/qemu", directory });
    assert.match(absent.reason, /^qemu can't be run: .*ENOENT/);
  });
});

describe("the probe", { skip, timeout: 120_000 }, () => {
  let outputDirectory: string;

  before(async () => {
    outputDirectory = await temporaryDirectory();
  });
  after(() => rm(outputDirectory, { recursive: true, force: true }));

  function probe(t: TestContext, lines: string[] = []) {
    const write = (_fields: object, message: string) => void lines.push(message);
    const log: Log = { debug: () => {}, info: write, warn: write, error: write, fatal: write };
    return temporaryDirectory(t).then((workDirectory) =>
      runProbe({ outputDirectory, workDirectory, log, ...(user !== undefined && { user }) }),
    );
  }

  it("writes what it found, and a cache that everyone may read", async (t) => {
    const facts = await probe(t);
    const written = JSON.parse(await readFile(join(outputDirectory, "node-facts.json"), "utf8"));
    assert.deepEqual(written, facts);
    assert.notEqual(facts.kvm.reason, "");
    assert.ok(facts.capabilities.includes("tcg"));
    const folder = join(outputDirectory, "capabilities", "tcg");
    const files = await readdir(folder);
    assert.ok(files.some((name) => /^[0-9a-f]{64}\.xml$/.test(name)));
    for (const name of files) assert.equal((await stat(join(folder, name))).mode & 0o444, 0o444);
  });

  it("does nothing again while nothing has changed, and everything when something has", async (t) => {
    const path = join(outputDirectory, "node-facts.json");
    const first = await probe(t);
    const again: string[] = [];
    assert.deepEqual(await probe(t, again), first);
    assert.deepEqual(again, ["the node was probed before and nothing has changed"]);
    await writeFile(path, JSON.stringify({ ...first, kernel: "another", kvm: undefined }));
    const anew: string[] = [];
    assert.deepEqual(await probe(t, anew), first);
    assert.deepEqual(anew, ["the node is probed"]);
  });

  it("spares a daemon the probing of qemu: its cache is taken as it is", async (t) => {
    await probe(t);
    const folder = join(outputDirectory, "capabilities", "tcg");
    const session = await Session.start(folder);
    t.after(() => session.close());
    const cache = daemonPaths(session.directory).capabilities;
    const identities = async () => {
      const names = (await readdir(cache)).sort();
      return Promise.all(names.map(async (name) => [name, (await stat(join(cache, name))).ino]));
    };
    const before = await identities();
    const connection = await connectLibvirt(session.daemon.socketPath);
    t.after(() => connection.close());
    await connection.hypervisorVersion();
    // libvirt deletes a file that doesn't fit and writes its own.
    assert.deepEqual(await identities(), before);
  });

  it("keeps VMs startable when libvirt fails: the facts are written all the same", async (t) => {
    const directory = await temporaryDirectory(t);
    const lines: string[] = [];
    const write = (_fields: object, message: string) => void lines.push(message);
    const facts = await runProbe({
      outputDirectory: join(directory, "out"),
      workDirectory: join(directory, "work"),
      log: { debug: () => {}, info: () => {}, warn: write, error: write, fatal: write },
      libvirtd: "/bin/false",
      ...(user !== undefined && { user }),
    });
    assert.equal(facts.capabilities.length, 0);
    assert.ok(lines.every((line) => /cannot fill libvirt's capability cache/.test(line)) && lines.length > 0);
    assert.deepEqual(await readdir(join(directory, "work")), []);
  });
});
