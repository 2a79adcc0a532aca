/** The client and the daemon's start against a real libvirtd and qemu (TCG), as an unprivileged user. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { resourcesOf, SMALL_SPEC } from "../domain/spec.fixture.ts";
import { domainXml } from "../domain/xml.ts";
import { STATS } from "./calls.ts";
import { daemonPaths, startLibvirtDaemon } from "./daemon.ts";
import { connectLibvirt } from "./driver.ts";
import { LibvirtError } from "./errors.ts";
import type { DomainEvent } from "./events.ts";
import { sessionOfSuite, skip, temporaryDirectory, user } from "./session.fixture.ts";

/** virDomainState. */
const RUNNING = 1;
const PAUSED = 3;

function isCode(code: LibvirtError["code"], message = /./): (error: unknown) => boolean {
  return (error) => error instanceof LibvirtError && error.code === code && message.test(error.message);
}

/** Keeps the lifecycle events and lets a test wait for one. */
class Events {
  readonly seen: string[] = [];
  readonly #waiting: (() => void)[] = [];

  readonly add = (event: DomainEvent): void => {
    this.seen.push(event.kind === "lifecycle" ? `${event.event}:${event.detail}` : event.kind);
    for (const wake of this.#waiting.splice(0)) wake();
  };

  async until(name: string): Promise<void> {
    while (!this.seen.includes(name)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

describe("libvirt", { skip, timeout: 120_000 }, () => {
  const suite = sessionOfSuite();

  function connect(t: TestContext, options: Parameters<typeof connectLibvirt>[1] = {}) {
    return connectLibvirt(suite().session.daemon.socketPath, options).then((opened) => {
      t.after(() => opened.close());
      return opened;
    });
  }

  it("tells its version and qemu's", async () => {
    const { connection } = suite();
    assert.match(await connection.libraryVersion(), /^\d+\.\d+\.\d+$/);
    assert.match(await connection.hypervisorVersion(), /^\d+\.\d+\.\d+$/);
  });

  it("answers every call of the test driver with the layout that this client knows", async (t) => {
    const events = new Events();
    const test = await connect(t, { uri: "test:///default" });
    await test.subscribe(["lifecycle", "reboot"], events.add);
    const [listed] = await test.listDomains();
    assert.ok(listed !== undefined);
    assert.deepEqual(await test.lookupDomain(listed.uuid), listed);
    assert.equal((await test.domainState(listed)).state, RUNNING);
    assert.ok((await test.domainInfo(listed)).memoryKiB > 0n);
    assert.match(await test.domainXml(listed), /<domain /);
    await test.suspendDomain(listed);
    assert.equal((await test.domainState(listed)).state, PAUSED);
    await test.resumeDomain(listed);
    await test.destroyDomain(listed);
    const started = await test.startDomain(listed);
    assert.ok(started.id > 0);
    await test.destroyDomain(started);
    await test.undefineDomain(started);
    await assert.rejects(test.domainState(started), isCode("DomainNotFound"));
    await events.until("1:0");
    assert.deepEqual(events.seen, ["3:0", "4:0", "5:1", "2:0", "5:1", "1:0"]);
  });

  it("refuses what is wrong, by code", async () => {
    const { session, connection } = suite();
    await assert.rejects(connection.createDomain("<domain"), isCode("DomainXmlInvalid"));
    const unknown = domainXml(SMALL_SPEC, resourcesOf(SMALL_SPEC)).replace("<pm>", "<nonsense/><pm>");
    await assert.rejects(connection.createDomain(unknown, { validate: true }), isCode("DomainXmlInvalid"));
    await assert.rejects(
      connectLibvirt(session.daemon.socketPath, { uri: "nonsense:///" }),
      isCode("LibvirtOperationFailed"),
    );
    await assert.rejects(connectLibvirt("/nonexistent/socket"), isCode("LibvirtUnavailable"));
  });

  it("runs a domain, and finds it again after a crash of the daemon", async (t) => {
    const { session } = suite();
    const events = new Events();
    const first = await connect(t);
    const kinds = ["lifecycle", "reboot", "watchdog", "ioError", "controlError", "agentLifecycle"] as const;
    await first.subscribe(kinds, events.add);
    const xml = domainXml(SMALL_SPEC, resourcesOf(SMALL_SPEC, session.directory));
    const domain = await first.createDomain(xml, { paused: true, validate: true });
    t.after(() =>
      suite()
        .connection.destroyDomain(domain)
        .catch(() => {}),
    );
    await events.until("3:0");
    assert.deepEqual(
      events.seen.filter((event) => event.includes(":")),
      ["2:0", "3:0"],
    );
    assert.equal((await first.domainState(domain)).state, PAUSED);
    await first.resumeDomain(domain);
    assert.equal((await first.domainState(domain)).state, RUNNING);
    await first.resetDomain(domain);
    await events.until("reboot");
    await first.shutdownDomain(domain);

    const stats = await first.domainStats(domain, STATS.state | STATS.cpu | STATS.vcpu);
    assert.equal(stats?.["state.state"], RUNNING);
    assert.equal((await first.memoryStats(domain)).actualBalloon, 65_536n);
    assert.match(await first.monitorCommand(domain, '{"execute":"query-status"}'), /"running":true/);
    await assert.rejects(first.createDomain(xml), isCode("DomainStateInvalid", /already active/));

    await session.crash();
    assert.equal((await first.closed).code, "LibvirtUnavailable");
    await assert.rejects(first.domainState(domain), isCode("LibvirtUnavailable"));
    const connection = await connectLibvirt(session.daemon.socketPath);
    suite().connection = connection;
    await connection.subscribe(["lifecycle"], events.add);
    assert.deepEqual(await connection.lookupDomain(domain.uuid), domain);
    assert.equal((await connection.domainState(domain)).state, RUNNING);
    // Waits for the daemon to have its monitor again: a domain that is destroyed before it ends without an event.
    assert.match(await connection.monitorCommand(domain, '{"execute":"query-status"}'), /running/);
    await connection.destroyDomain(domain);
    await events.until("5:1");
    await assert.rejects(connection.domainState(domain), isCode("DomainNotFound"));
  });
});

describe("libvirtd's start", { skip, timeout: 60_000 }, () => {
  it("says how the daemon ended when it doesn't come up", async (t) => {
    const runtimeDirectory = await temporaryDirectory(t);
    const options = { runtimeDirectory, ...(user !== undefined && { user }) };
    await assert.rejects(
      startLibvirtDaemon({ ...options, program: "/bin/false" }),
      isCode("LibvirtStart", /ended with exit code 1/),
    );
    await assert.rejects(
      startLibvirtDaemon({ ...options, program: "/nonexistent/libvirtd" }),
      isCode("LibvirtStart", /can't be run/),
    );
  });

  it("gives up at its deadline and leaves no process behind", async (t) => {
    const runtimeDirectory = await temporaryDirectory(t);
    const options = { runtimeDirectory, ...(user !== undefined && { user }) };
    await assert.rejects(
      startLibvirtDaemon({ ...options, timeoutMs: 1 }),
      isCode("LibvirtStart", /served no socket within 1 ms/),
    );
    await assert.rejects(connectLibvirt(daemonPaths(runtimeDirectory).socket), isCode("LibvirtUnavailable"));
  });
});
