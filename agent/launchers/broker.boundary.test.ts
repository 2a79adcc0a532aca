/** The broker with launchers that are real processes in a pod's cgroup and network; only the wiring is faked. Root. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, test } from "node:test";
import { pino } from "pino";
import type { LauncherPhase, LauncherStatus } from "../../api/launcher-protocol.ts";
import { LAUNCHER_UID } from "../../api/names.ts";
import type { AgentStatus } from "../../api/uplink-protocol.ts";
import { systemClock } from "../../lib/clock.ts";
import { AgentError } from "../errors.ts";
import { saveState } from "../network/state.ts";
import type { WireOptions } from "../network/types.ts";
import { end, FakePod } from "../peer/fake-pod.ts";
import { namespaceIdOf } from "../peer/identity.ts";
import { announced } from "./announced.fixture.ts";
import { Announcements } from "./announcements.ts";
import { BootTurns } from "./boot-turns.ts";
import { Broker } from "./broker.ts";
import { StatusRegistry } from "./registry.ts";

const FAKE_LAUNCHER = join(import.meta.dirname, "fake-launcher.ts");
const TIMEOUT = { timeout: 60_000 };

let directory: string;
let socketPath: string;
let pod: FakePod;
let registry: StatusRegistry;
let broker: Broker;
let statuses: AsyncIterator<AgentStatus, undefined>;
let wired: WireOptions[];
let wiring: EventEmitter;
let forgotten: string[];
let wire: (options: WireOptions) => Promise<void>;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "broker-"));
  await chmod(directory, 0o755);
  socketPath = join(directory, "socket", "agent.sock");
  pod = await FakePod.create();
  registry = new StatusRegistry({ kvm: { usable: false, reason: "" }, agentVersion: "0" });
  statuses = registry.subscribe();
  await statuses.next();
  await statuses.next();
  wired = [];
  wiring = new EventEmitter();
  forgotten = [];
  wire = async () => {};
  await start();
});

afterEach(async () => {
  await pod.remove();
  await broker.stop();
  await rm(directory, { recursive: true });
});

async function start(
  options: { readonly announcementDeadlineMs?: number; readonly bootSlots?: number } = {},
): Promise<void> {
  const { bootSlots: slots = Number.POSITIVE_INFINITY, ...deadline } = options;
  const log = pino({ level: "silent" });
  broker = new Broker({
    socketPath,
    announcements: await Announcements.load(join(directory, "state", "launchers.json"), log),
    registry,
    forbiddenNamespaces: new Set([namespaceIdOf("/proc/self/ns/net")]),
    hostNetns: "/proc/self/ns/net",
    networkState: join(directory, "network"),
    wireNetwork: async (options) => {
      wired.push(options);
      wiring.emit("wiring");
      await wire(options);
      return [];
    },
    inspectNetwork: async () => ({ interfaces: [], differences: [] }),
    watchNetwork: async () => {},
    forgetOtherNetworks: async (isKept) => {
      forgotten.push(...[pod.podUid, "left-by-another-agent"].filter((podUid) => !isKept(podUid)));
    },
    handOverDevices: () => [],
    letBurst: () => {},
    announced: () => ({ pendingCpu: [] }),
    bootTurns: new BootTurns({ slots, clock: systemClock }),
    ...deadline,
    log,
  });
  await broker.start();
}

class Launcher {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(from = pod) {
    this.process = from.spawn([FAKE_LAUNCHER, socketPath]);
    this.#lines = createInterface({ input: this.process.stdout ?? process.stdin })[Symbol.asyncIterator]();
  }

  /** What the launcher was asked for next. */
  async asked(): Promise<unknown> {
    return JSON.parse((await this.#lines.next()).value);
  }

  says(phase: LauncherPhase | "flying"): void {
    this.process.stdin?.write(`${JSON.stringify({ ...status, phase })}\n`);
  }
}

const status: LauncherStatus = {
  phase: "preparing",
  interfaces: [],
  timeline: { launcherStarted: "2026-01-01T00:00:00.000Z" },
};
const attached = { event: "attachment", value: { ok: true, interfaces: [] } };
const ended = { event: "ended" };

async function nextStatus(): Promise<string> {
  const line = (await statuses.next()).value as AgentStatus;
  if (line.type === "launcher") return line.status.phase;
  return line.type === "refused" ? line.code : line.type;
}

test("an announced launcher is wired, attached, and followed to its end", TIMEOUT, async () => {
  await broker.announce({ term: 1, launchers: [announced(pod.podUid)] });
  const launcher = new Launcher();
  assert.deepEqual(await launcher.asked(), attached);
  assert.equal(wired[0]?.podUid, pod.podUid);
  assert.deepEqual(wired[0]?.interfaces, announced(pod.podUid).interfaces);
  launcher.says("running");
  assert.equal(await nextStatus(), "running");
  await end(launcher.process);
  // Its last status stands.
  assert.deepEqual([await nextStatus(), await nextStatus()], ["running", "disconnected"]);
});

test("the namespace that is wired is the caller's own", TIMEOUT, async () => {
  let seen = "";
  wire = async ({ netns }) => {
    seen = namespaceIdOf(netns);
  };
  await broker.announce({ term: 1, launchers: [announced(pod.podUid)] });
  const launcher = new Launcher();
  await launcher.asked();
  assert.equal(seen, namespaceIdOf(`/proc/${launcher.process.pid}/ns/net`));
});

test("a launcher that is ahead of its announcement is attached when that comes", TIMEOUT, async () => {
  const launcher = new Launcher();
  await once(launcher.process, "spawn");
  await broker.announce({ term: 1, launchers: [announced(pod.podUid)] });
  assert.deepEqual(await launcher.asked(), attached);
});

test(
  "a guest boots when it is its turn, and one whose launcher dials again has had its own",
  TIMEOUT,
  async () => {
    await broker.stop();
    await start({ bootSlots: 1 });
    const other = await FakePod.create();
    try {
      await broker.announce({ term: 1, launchers: [announced(pod.podUid), announced(other.podUid)] });
      const first = new Launcher();
      assert.deepEqual(await first.asked(), attached);
      const secondWired = once(wiring, "wiring");
      const secondAsked = new Launcher(other).asked();
      let isSecondAsked = false;
      void secondAsked.then(() => {
        isSecondAsked = true;
      });
      await secondWired;
      first.says("running");
      assert.equal(await nextStatus(), "running");
      assert.equal(isSecondAsked, false, "the first one's guest has not told that it is up");
      // It was wired before, as the record of its network tells: nobody's turn is waited for.
      await mkdir(join(directory, "network"), { recursive: true });
      await saveState(join(directory, "network"), pod.podUid, {
        version: 1,
        namespace: "1",
        interfaces: [],
      });
      await end(first.process);
      assert.deepEqual(
        await secondAsked,
        attached,
        "the turn ends with the connection of the guest that had it",
      );
      assert.deepEqual(await new Launcher().asked(), attached);
    } finally {
      await other.remove();
    }
  },
);

test("a pod that is not announced in time gets a refusal and nothing else", TIMEOUT, async () => {
  await broker.stop();
  await start({ announcementDeadlineMs: 50 });
  const launcher = new Launcher();
  assert.equal(await nextStatus(), "NotAnnounced");
  const { event, value } = (await launcher.asked()) as {
    event: string;
    value: { ok: boolean; code: string };
  };
  assert.deepEqual([event, value.ok, value.code], ["attachment", false, "NotAnnounced"]);
  assert.deepEqual(await launcher.asked(), ended);
  assert.deepEqual(wired, []);
});

test("a pod that can't be wired is told why, and so is the operator", TIMEOUT, async () => {
  wire = async () => {
    throw new AgentError("PeerGone", "no such link");
  };
  await broker.announce({ term: 1, launchers: [announced(pod.podUid)] });
  const launcher = new Launcher();
  assert.deepEqual(await launcher.asked(), {
    event: "attachment",
    value: { ok: false, code: "PeerGone", message: "no such link" },
  });
  assert.equal(await nextStatus(), "PeerGone");
});

test("a process outside of pods is turned away without a word", TIMEOUT, async () => {
  const socket = connect(socketPath);
  const [chunks] = await Promise.all([socket.toArray().catch(() => []), once(socket, "close")]);
  assert.deepEqual(chunks, []);
  assert.deepEqual(wired, []);
});

test(
  "a pod that leaves the set loses its connection, and its saved network once it ended",
  TIMEOUT,
  async () => {
    await broker.announce({ term: 1, launchers: [announced(pod.podUid)] });
    const launcher = new Launcher();
    await launcher.asked();
    assert.deepEqual(forgotten, ["left-by-another-agent"]);
    // An operator with an old view of the cluster knows nothing of it.
    launcher.process.kill("SIGSTOP");
    forgotten = [];
    await broker.announce({ term: 1, launchers: [] });
    assert.deepEqual(forgotten, ["left-by-another-agent"]);
    assert.equal(broker.client(pod.podUid), undefined);
    launcher.process.kill("SIGCONT");
    assert.deepEqual(await launcher.asked(), ended);
    await end(launcher.process);
    forgotten = [];
    await broker.announce({ term: 1, launchers: [] });
    assert.deepEqual(forgotten, [pod.podUid, "left-by-another-agent"]);
  },
);

test("a restarted container's launcher takes over from the one before", TIMEOUT, async () => {
  await broker.announce({ term: 1, launchers: [announced(pod.podUid)] });
  const first = new Launcher();
  await first.asked();
  const second = new Launcher();
  assert.deepEqual(await second.asked(), attached);
  assert.deepEqual(await first.asked(), ended);
  second.says("running");
  while ((await nextStatus()) !== "running");
  assert.ok(broker.client(pod.podUid)?.isOpen);
});

test("wirings of one pod never run side by side", TIMEOUT, async () => {
  let running = 0;
  let most = 0;
  wire = async ({ signal }) => {
    most = Math.max(most, ++running);
    // Lasts until the next launcher takes over; the last one is not held up.
    if (wired.length < 2) await once(signal ?? new EventTarget(), "abort");
    running--;
  };
  await broker.announce({ term: 1, launchers: [announced(pod.podUid)] });
  const firstWiring = once(wiring, "wiring");
  const first = new Launcher();
  await firstWiring;
  const second = new Launcher();
  assert.deepEqual(await second.asked(), attached);
  assert.deepEqual(await first.asked(), ended);
  assert.equal(most, 1);
});

test("a pod gets no third connection while one is being wired and another waits", TIMEOUT, async () => {
  // A wiring that does not heed its signal at once, as one whose process is about to end.
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  wire = () => released;
  const begun = once(wiring, "wiring");
  await broker.announce({ term: 1, launchers: [announced(pod.podUid)] });
  const first = new Launcher();
  await begun;
  try {
    const child = pod.spawn([
      "-e",
      `
    process.setuid(${LAUNCHER_UID});
    const sockets = [2, 3].map(() => require("node:net").connect(${JSON.stringify(socketPath)}));
    for (const socket of sockets) socket.on("error", () => {});
    sockets[1].resume().on("close", () => process.stdout.write(sockets[0].destroyed ? "both" : "third"));
  `,
    ]);
    const [output] = await once(child.stdout ?? child, "data");
    assert.equal(String(output), "third");
    assert.deepEqual(await first.asked(), ended);
    assert.equal(wired.length, 1);
  } finally {
    release();
  }
});

test("bytes that are no HTTP/2 end only their own connection", TIMEOUT, async () => {
  await broker.announce({ term: 1, launchers: [announced(pod.podUid)] });
  const babbler = `
    process.setuid(${LAUNCHER_UID});
    const socket = require("node:net").connect(${JSON.stringify(socketPath)});
    socket.on("error", () => {}).on("close", () => process.stdout.write("closed")).resume();
    socket.write(require("node:crypto").randomBytes(100_000));
  `;
  const child = pod.spawn(["-e", babbler]);
  const [output] = await once(child.stdout ?? child, "data");
  assert.equal(String(output), "closed");
  assert.deepEqual(await new Launcher().asked(), attached);
});

test("a launcher that sends nonsense loses its connection", TIMEOUT, async () => {
  await broker.announce({ term: 1, launchers: [announced(pod.podUid)] });
  const launcher = new Launcher();
  await launcher.asked();
  launcher.says("flying");
  assert.deepEqual(await launcher.asked(), ended);
  assert.equal(await nextStatus(), "disconnected");
});

test("launchers are attached again by a restarted agent without the operator", TIMEOUT, async () => {
  await broker.announce({ term: 1, launchers: [announced(pod.podUid)] });
  await broker.stop();
  await start();
  const launcher = new Launcher();
  assert.deepEqual(await launcher.asked(), attached);
});

test(
  "the socket can be connected to by anyone, and its directory is only the agent's to write",
  TIMEOUT,
  async () => {
    assert.equal((await stat(socketPath)).mode & 0o666, 0o666);
    assert.equal((await stat(join(directory, "socket"))).mode & 0o777, 0o755);
    await broker.stop();
    await assert.rejects(stat(socketPath), { code: "ENOENT" });
    await start();
  },
);
