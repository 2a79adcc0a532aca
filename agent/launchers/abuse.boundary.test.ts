/**
 * What a hostile launcher can do to the others: it is turned away and counted, and the next honest one has its network.
 * Real processes, namespaces and wiring; needs root.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { afterEach, beforeEach, test } from "node:test";
import { observeNetwork, wireNetwork } from "../network/wire.ts";
import { end } from "../peer/fake-pod.ts";
import { ATTEMPTS_OF_A_POD } from "./attempts.ts";
import { BrokerLab, type LauncherPod } from "./broker.fixture.ts";

const TIMEOUT = { timeout: 60_000 };

let lab: BrokerLab;
let hostile: LauncherPod;
let honest: LauncherPod;
let wirings: string[];
let wiringBegins: () => void;

beforeEach(async () => {
  wirings = [];
  wiringBegins = () => {};
  lab = await BrokerLab.create({
    wireNetwork: (options) => {
      wirings.push(options.podUid);
      wiringBegins();
      return wireNetwork(options);
    },
    announcementDeadlineMs: 200,
  });
  [hostile, honest] = [await lab.addPod(), await lab.addPod()];
  await lab.announce(hostile, honest);
});

afterEach(() => lab[Symbol.asyncDispose]());

async function assertServed(pod: LauncherPod): Promise<void> {
  const launcher = lab.launcher(pod);
  const attachment = await launcher.attachment();
  assert.ok(attachment.ok);
  assert.equal(attachment.interfaces[0]?.tap.name, "tap0");
  assert.deepEqual(await observeNetwork(lab.wireOptions(pod)), []);
}

/** Waits for the broker's own count: a process sees its connection's end no sooner than that. */
async function counted(code: string, times: number): Promise<void> {
  const deadline = Date.now() + 20_000;
  while ((lab.broker.refusals[code] ?? 0) < times) {
    assert.ok(Date.now() < deadline, `${times} × ${code}, not ${JSON.stringify(lab.broker.refusals)}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(lab.broker.refusals[code], times);
}

const CLIENT_PREFACE = "PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n";

for (const [what, bytes] of [
  ["random bytes", "randomBytes(100_000)"],
  ["HTTP/1.1", '"GET /v1/launchers HTTP/1.1\\r\\nhost: agent\\r\\n\\r\\n"'],
  ["the greeting of the other side", `"${CLIENT_PREFACE}"`],
  ["a frame longer than any may be", 'Buffer.from("ffffff040000000000", "hex")'],
  [
    "an answer to a request that nobody made",
    'Buffer.from("000000040000000000" + "00000001050000000f", "hex")',
  ],
] as const) {
  test(`${what} in place of HTTP/2 ends the connection, which is counted`, TIMEOUT, async () => {
    const babbler = lab.abuse(
      hostile,
      `const socket = dial().resume(); socket.write(${bytes}); await happens(socket, "close"); say("closed");`,
    );
    assert.equal(await babbler.next(), "closed");
    await counted("ProtocolError", 1);
    await assertServed(honest);
    await assertServed(hostile);
  });
}

test("a pod that connects without end is let in a few times, and holds nobody else up", TIMEOUT, async () => {
  const started = performance.now();
  const flood = lab.abuse(
    hostile,
    `
      let closed = 0;
      for (let count = 0; count < 500; count++) {
        const socket = dial().resume();
        socket.on("close", () => ++closed === 498 && say("turned away"));
        await Promise.race([happens(socket, "connect"), happens(socket, "close")]);
        if (count === 100) say("flooding");
        if (count % 2) socket.destroy();
      }
    `,
  );
  assert.equal(await flood.next(), "flooding");
  await assertServed(honest);
  assert.equal(await flood.next(), "turned away");
  // On a busy machine the flood takes its time, and more of it is let in.
  const seconds = (performance.now() - started) / 1000;
  const letIn = ATTEMPTS_OF_A_POD.burst + ATTEMPTS_OF_A_POD.perSecond * seconds;
  const { TooManyAttempts = 0, TooManyConnections = 0, PeerGone = 0 } = lab.broker.refusals;
  // Those that were closed before the agent came to look are known to nobody.
  const refused = TooManyAttempts + TooManyConnections + PeerGone;
  assert.ok(refused > 410 - letIn, `${JSON.stringify(lab.broker.refusals)} in ${seconds} s`);
  const wired = wirings.filter((podUid) => podUid === hostile.processes.podUid).length;
  assert.ok(wired <= letIn, `${wired} wirings in ${seconds} s`);
});

test("a pod that was turned away for its haste is served when it has calmed down", TIMEOUT, async () => {
  const flood = lab.abuse(
    hostile,
    `
      // Each takes the place of the one before, until they are too many in a second.
      let closed = 0;
      for (let count = 0; count < 50; count++) {
        dial().resume().on("close", () => ++closed === 40 && say("done"));
      }
    `,
  );
  assert.equal(await flood.next(), "done");
  assert.ok((lab.broker.refusals["TooManyAttempts"] ?? 0) > 0);
  await end(flood.process);
  // As the launcher's own link does: it dials again until it is attached.
  for (;;) {
    const launcher = lab.launcher(hostile);
    const attachment = await launcher.attachment().catch(() => undefined);
    if (attachment === undefined) continue;
    assert.ok(attachment.ok);
    break;
  }
});

test("statuses without end are read no faster than they can matter", TIMEOUT, async () => {
  let updates = 0;
  const update = lab.registry.update.bind(lab.registry);
  lab.registry.update = (podUid, status) => {
    updates += 1;
    update(podUid, status);
  };
  const flooding = Promise.withResolvers<void>();
  const launcher = lab.launcher(hostile);
  assert.ok((await launcher.attachment()).ok);
  const status = {
    phase: "running",
    interfaces: [],
    timeline: { launcherStarted: "2026-01-01T00:00:00.000Z" },
  };
  const line = `${JSON.stringify(status)}\n`;
  const started = performance.now();
  const { stdin } = launcher.process;
  assert.ok(stdin !== null);
  // The launcher is ended while it still has something to read.
  stdin.on("error", () => {});
  let written = 0;
  const pour = (): void => {
    while (written < 200_000 && stdin.write(line.repeat(1_000))) written += 1_000;
    if (written > 20_000) flooding.resolve();
    if (written < 200_000) stdin.once("drain", pour);
  };
  pour();
  await Promise.race([flooding.promise, once(stdin, "drain")]);
  await assertServed(honest);
  const seconds = (performance.now() - started) / 1000;
  assert.ok(updates > 0 && updates <= 51 + 10 * seconds, `${updates} updates in ${seconds} s`);
  assert.ok(lab.broker.client(hostile.processes.podUid)?.isOpen, "it is slowed down, and goes on");
  stdin.removeListener("drain", pour);
});

test(
  "a launcher that asks twice has the newer connection only, and the older is counted",
  TIMEOUT,
  async () => {
    const first = lab.launcher(hostile);
    assert.ok((await first.attachment()).ok);
    const second = lab.launcher(hostile);
    assert.ok((await second.attachment()).ok);
    assert.deepEqual(await first.next(), { event: "ended" });
    await counted("Superseded", 1);
    await assertServed(honest);
  },
);

test(
  "a launcher that dies while its network is made leaves one that the next can have",
  TIMEOUT,
  async () => {
    const begun = Promise.withResolvers<void>();
    wiringBegins = begun.resolve;
    const first = lab.launcher(hostile);
    await begun.promise;
    await end(first.process);
    await counted("LeftEarly", 1);
    await assertServed(hostile);
    await assertServed(honest);
  },
);

test("a pod is itself, whatever it calls its cgroups and whatever it says", TIMEOUT, async () => {
  const stranger = await lab.addPod();
  const disguised = await lab.disguise(stranger, honest);
  const impostor = lab.launcher(disguised);
  const attachment = await impostor.attachment();
  assert.ok(!attachment.ok);
  assert.equal(attachment.code, "NotAnnounced");
  assert.match(attachment.message, new RegExp(stranger.processes.podUid));
  await counted("NotAnnounced", 1);
  assert.deepEqual(wirings, []);
  assert.equal(lab.broker.client(honest.processes.podUid), undefined);
  await assertServed(honest);
});

test(
  "processes that are no launcher's are turned away without a word, each counted by its reason",
  TIMEOUT,
  async () => {
    const silent = `
    const socket = require("node:net").connect(${JSON.stringify(lab.socketPath)}).on("error", () => {});
    socket.on("data", () => console.log('"spoken to"')).on("close", () => console.log('"closed"'));
  `;
    const run = async (script: string, options: Parameters<LauncherPod["processes"]["spawn"]>[1]) => {
      const child = hostile.processes.spawn(["-e", script], options);
      const [output] = await once(child.stdout ?? child, "data");
      assert.equal(String(output).trim(), '"closed"');
    };
    const asLauncher = `process.setuid(107); ${silent}`;
    await run(silent, { netns: hostile.network.path });
    await run(asLauncher, { inPod: false });
    await run(asLauncher, { ownNetwork: false });
    assert.deepEqual(lab.broker.refusals, { PeerNotLauncher: 1, PeerNotInPod: 1, PeerOnHostNetwork: 1 });
    await assertServed(honest);
  },
);

test("a launcher that says goodbye and stays is let go and counted", TIMEOUT, async () => {
  await lab.announce(honest);
  // SETTINGS, then GOAWAY without an error: its own end stays open.
  const goodbye = "000000040000000000" + "0000080700000000000000000000000000";
  const staying = lab.abuse(
    hostile,
    `const socket = net.connect({ path: ${JSON.stringify(lab.socketPath)}, allowHalfOpen: true });
     const ended = happens(socket, "end");
     socket.on("error", () => {}).resume().write(Buffer.from("${goodbye}", "hex"));
     await ended; say("let go");`,
  );
  assert.equal(await staying.next(), "let go");
  await counted("LeftEarly", 1);
  await assertServed(honest);
});

test("a launcher that is silent holds up nobody but itself", TIMEOUT, async () => {
  const silent = lab.abuse(
    hostile,
    'const socket = dial(); await happens(socket, "connect"); say("connected");',
  );
  assert.equal(await silent.next(), "connected");
  await assertServed(honest);
  assert.deepEqual(lab.broker.refusals, {});
});
