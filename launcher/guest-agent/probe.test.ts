import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "../../lib/fake-clock.ts";
import type { AgentCommand } from "./commands.ts";
import { GuestAgentError } from "./errors.ts";
import { answerProbe, type ProbeRequest, type Prober, parseProbe } from "./probe.ts";

const PING: ProbeRequest = { kind: "liveness", timeoutSeconds: 2 };
const CAT: ProbeRequest = { ...PING, command: ["/bin/cat", "/tmp/healthy"] };

const bytes = (...parts: string[]) => Buffer.from(parts.map((part) => `${part}\0`).join(""));

/** A guest whose agent answers as `answers` says, one after another for each command; the last one stays. */
function prober(
  answers: Readonly<Record<string, readonly unknown[]>>,
  stillness: ReturnType<Prober["stillness"]> = undefined,
) {
  const clock = new FakeClock();
  const asked: string[] = [];
  const left = new Map(Object.entries(answers).map(([name, list]) => [name, [...list]]));
  const ask = async <T>(command: AgentCommand<T>): Promise<T> => {
    asked.push(command.name);
    const list = left.get(command.name) ?? [];
    const answer = list.length > 1 ? list.shift() : list[0];
    if (answer instanceof Error) throw answer;
    return command.read(answer);
  };
  return { asked, clock, prober: { channel: { ask }, clock, stillness: () => stillness } };
}

/** Lets the clock run until the answer is there. */
async function answered({ clock, prober: it }: ReturnType<typeof prober>, request: ProbeRequest) {
  let answer: Awaited<ReturnType<typeof answerProbe>> | undefined;
  void answerProbe(request, it).then((given) => {
    answer = given;
  });
  for (let turns = 0; turns < 1_000 && answer === undefined; turns++) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(10);
  }
  assert(answer !== undefined, "the probe was never answered");
  return answer;
}

const disabled = new GuestAgentError("GuestAgentRefused", "guest-exec: command has been disabled");

describe("a probe through the guest agent", () => {
  it("is what virtpod-probe was given, and nothing else is one", () => {
    assert.deepEqual(parseProbe(bytes("liveness", "2", "ping")), PING);
    assert.deepEqual(parseProbe(bytes("liveness", "2", "exec", "/bin/cat", "/tmp/healthy")), CAT);
    assert.deepEqual(parseProbe(bytes("readiness", "1", "exec", "/bin/true", ""))?.command, [
      "/bin/true",
      "",
    ]);
    for (const wrong of [[], ["ping"], ["liveness", "0", "ping"], ["liveness", "x", "ping"]]) {
      assert.equal(parseProbe(bytes(...wrong)), undefined, wrong.join());
    }
    for (const wrong of [["ping", "more"], ["exec"], ["shutdown"], ["ping\0"]]) {
      assert.equal(parseProbe(bytes("liveness", "1", ...wrong)), undefined, wrong.join());
    }
    assert.equal(parseProbe(Buffer.from("liveness\u00001\u0000ping")), undefined, "cut short");
  });

  it("by a ping succeeds as soon as the agent answers, and fails with its words", async () => {
    const answers = prober({ "guest-ping": [{}] });
    assert.equal((await answered(answers, PING)).isSuccess, true);
    const silent = new GuestAgentError("GuestAgentNotConnected", "no guest agent is connected");
    const failed = await answered(prober({ "guest-ping": [silent] }), PING);
    assert.deepEqual(failed, { isSuccess: false, message: silent.message });
  });

  for (const [name, end, isSuccess, message] of [
    ["status 0", { exited: true, exitcode: 0 }, true, "/bin/cat ended with status 0"],
    ["another status", { exited: true, exitcode: 3 }, false, "/bin/cat ended with status 3"],
    ["a signal", { exited: true, signal: 9 }, false, "/bin/cat was ended by signal 9"],
  ] as const) {
    it(`by a command that ends with ${name} ${isSuccess ? "succeeds" : "fails"}`, async () => {
      const guest = prober({
        "guest-exec": [{ pid: 7 }],
        "guest-exec-status": [{ exited: false }, { exited: false }, end],
      });
      assert.deepEqual(await answered(guest, CAT), { isSuccess, message });
      assert.equal(guest.asked.filter((command) => command === "guest-exec-status").length, 3);
    });
  }

  it("by a command that takes too long fails when its time is over, and asks no more", async () => {
    const guest = prober({ "guest-exec": [{ pid: 7 }], "guest-exec-status": [{ exited: false }] });
    const { isSuccess, message } = await answered(guest, CAT);
    assert.equal(isSuccess, false);
    assert.match(message, /has not ended in the guest within 2 s/);
    assert(guest.clock.monotonic() < 2_500);
    const before = guest.asked.length;
    guest.clock.advance(10_000);
    assert.equal(guest.asked.length, before);
  });

  it("by a command fails where the guest allows none, or answers nonsense", async () => {
    assert.match((await answered(prober({ "guest-exec": [disabled] }), CAT)).message, /disabled/);
    assert.match((await answered(prober({ "guest-exec": [{ pid: "x" }] }), CAT)).message, /told no pid/);
  });

  it("never has a guest killed that somebody holds still, and gives a paused one no traffic", async () => {
    const asks = async (kind: ProbeRequest["kind"], stillness: "not running" | "frozen") => {
      const guest = prober({}, stillness);
      const { isSuccess } = await answered(guest, { ...CAT, kind });
      assert.deepEqual(guest.asked, []);
      return isSuccess;
    };
    assert.deepEqual([await asks("liveness", "not running"), await asks("liveness", "frozen")], [true, true]);
    assert.deepEqual(
      [await asks("readiness", "not running"), await asks("readiness", "frozen")],
      [false, true],
    );
  });
});
