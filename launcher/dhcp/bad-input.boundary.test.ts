/** No packet stops the server, on real sockets; needs root. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { BAD_INPUTS } from "./bad-input.fixture.ts";
import { DhcpLab, type LabClient, type Vitals } from "./lab.fixture.ts";
import { clientMessage, DISCOVER_OPTIONS } from "./packet.fixture.ts";

const SEND = new URL("./send.fixture.ts", import.meta.url).pathname;
const BROADCAST = "255.255.255.255";
const DEADLINE_MS = 30_000;
const ANSWER_MS = 10;
/** Other work on the machine may delay one answer, and not three. */
const TRIES = 3;

describe("no packet stops the server", () => {
  let lab: DhcpLab;
  let client: LabClient;
  let sender: ChildProcess;
  let answers: AsyncIterator<string>;

  before(async () => {
    lab = await DhcpLab.start({ clients: 1 });
    client = lab.client(0);
    lab.inside(client.netns, "ip", "address", "add", `${client.address}/24`, "dev", "eth0");
    lab.inside(client.netns, "ip", "route", "add", "default", "via", client.gateway);
    sender = lab.start(client.netns, process.execPath, SEND);
    assert.ok(sender.stdout);
    answers = createInterface({ input: sender.stdout })[Symbol.asyncIterator]();
  });
  after(() => lab[Symbol.asyncDispose]());

  async function ask(command: object): Promise<{ readonly milliseconds?: number }> {
    sender.stdin?.write(`${JSON.stringify(command)}\n`);
    const line = await answers.next();
    return line.done === true ? assert.fail("the sender ended") : JSON.parse(line.value);
  }
  const send = (bytes: Uint8Array, to = BROADCAST) =>
    ask({ datagram: Buffer.from(bytes).toString("hex"), to });

  /** @returns how many DISCOVERs it took */
  async function assertServed(): Promise<number> {
    const taken: number[] = [];
    do {
      const { milliseconds } = await ask({ discover: client.macAddress });
      taken.push(milliseconds ?? Number.POSITIVE_INFINITY);
    } while (Math.min(...taken) > ANSWER_MS && taken.length < TRIES);
    assert.ok(
      Math.min(...taken) <= ANSWER_MS,
      `the next DISCOVERs are answered after ${taken.join(", ")} ms`,
    );
    return taken.length;
  }

  /** Messages that came in and were answered or dropped. */
  function handled({ counters: { optionsOmitted: _, ...counters } }: Vitals): number {
    return Object.values(counters).reduce((sum, count) => sum + count, 0);
  }
  async function changed(earlier: Vitals): Promise<Vitals> {
    for (const deadline = Date.now() + DEADLINE_MS; Date.now() < deadline; ) {
      const later = await lab.vitals();
      if (handled(later) > handled(earlier)) return later;
    }
    return assert.fail("the server counted nothing");
  }

  // A server's own address reaches the socket of its bridge, the other one the socket of all.
  for (const to of ["broadcast", "unicast"] as const) {
    test(`each bad input by ${to} is dropped and counted by its reason, each odd but valid one answered`, async () => {
      const mac = Buffer.from(client.macAddress.replaceAll(":", ""), "hex");
      for (const { claim, message, expected } of BAD_INPUTS) {
        const own = Uint8Array.from(message);
        if (own.length >= 240) own.set(mac, 28);
        const counter = expected === "accepted" ? "offer" : expected;
        const earlier = await lab.vitals();
        await send(own, to === "broadcast" ? BROADCAST : client.bridge);
        const later = await changed(earlier);
        const exact = { ...earlier.counters, [counter]: (earlier.counters[counter] ?? 0) + 1 };
        const { optionsOmitted: _, ...counters } = later.counters;
        const { optionsOmitted: __, ...expectedCounters } = exact as Record<string, number>;
        assert.deepEqual(counters, expectedCounters, claim);
        await assertServed();
      }
    });
  }

  /** What the client's kernel does to DHCP on its way out. */
  async function mangled(rule: string, act: () => Promise<void>): Promise<void> {
    const chain = `chain output {\ntype filter hook output priority 0;\nudp dport 67 ${rule}\n}`;
    lab.inside(client.netns, "nft", `table ip mangled {\n${chain}\n}`);
    try {
      await act();
    } finally {
      lab.inside(client.netns, "nft", "delete table ip mangled");
    }
  }
  const discover = (length: number): Uint8Array =>
    clientMessage({
      macAddress: client.macAddress,
      options: [...DISCOVER_OPTIONS, ...new Array(length).fill(0)],
    });

  test("a datagram whose UDP length is a lie is not answered", async () => {
    for (const lie of [8, 100, 1400]) {
      const before = await lab.vitals();
      await mangled(`udp length set ${lie}`, async () => void (await send(discover(300))));
      const honest = await assertServed();
      const { counters } = await lab.vitals();
      assert.equal(counters["offer"], (before.counters["offer"] ?? 0) + honest, `${lie}: honest ones alone`);
    }
  });

  test("a datagram in fragments is answered once they are all there, and a lone fragment never", async () => {
    lab.inside(client.netns, "ip", "link", "set", "dev", "eth0", "mtu", "576");
    const before = await lab.vitals();
    await send(discover(900));
    const whole = await changed(before);
    assert.equal(whole.counters["offer"], (before.counters["offer"] ?? 0) + 1);
    const hook = `type filter hook ingress device ${client.link}-v priority 0;`;
    const chain = `chain fragments {\n${hook}\nip frag-off & 0x1fff != 0 drop\n}`;
    lab.inside(lab.serverNetns, "nft", `table netdev lonely {\n${chain}\n}`);
    await send(discover(900));
    lab.inside(lab.serverNetns, "nft", "delete table netdev lonely");
    lab.inside(client.netns, "ip", "link", "set", "dev", "eth0", "mtu", "1500");
    const honest = await assertServed();
    const { counters } = await lab.vitals();
    assert.equal(counters["offer"], (whole.counters["offer"] ?? 0) + honest, "honest ones alone");
  });

  test("a flood from 100,000 MACs leaves its memory flat and the next client served", async () => {
    await ask({ flood: 20_000 });
    const before = await lab.vitals();
    await ask({ flood: 80_000 });
    const flooded = await lab.vitals();
    assert.ok((flooded.counters["foreignClient"] ?? 0) > (before.counters["foreignClient"] ?? 0) + 10_000);
    const grownBytes = flooded.residentBytes - before.residentBytes;
    assert.ok(grownBytes < 16 * 1024 * 1024, `grew by ${grownBytes} bytes`);
    await assertServed();
  });
});
