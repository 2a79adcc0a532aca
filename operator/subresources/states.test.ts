/** What each subresource answers in each state of a machine: the code, and a sentence that says what to do. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { admit, type Verb } from "../../launcher/lifecycle/admission.ts";
import type { MachineState as LauncherState } from "../../launcher/lifecycle/events.ts";
import { RequestError } from "../../transport/errors.ts";
import type { Routes } from "../../transport/server.ts";
import { isStream, SERVED } from "./catalog.ts";
import { domainVerbHandlers } from "./domain-verbs.ts";
import { guestAgentHandlers } from "./guest-agent.ts";
import { type MachineState, reachableLauncher } from "./launcher.fixture.ts";
import { networkHandlers } from "./network.ts";
import type { SubresourcePath } from "./path.ts";
import { screenshotHandlers } from "./screenshot.ts";
import { StatusError } from "./status.ts";
import { openSession } from "./streams.ts";
import { usageHandlers } from "./usage.ts";

const STATES = {
  missing: { isAbsent: true },
  stopped: { isAbsent: true, vmStatus: "Stopped" },
  failing: { isAbsent: true, vmStatus: "CrashLoopBackOff" },
  unscheduled: { phase: "Scheduling", isUnplaced: true, vmStatus: "Starting" },
  starting: { phase: "Scheduled", vmStatus: "Starting" },
  paused: { isPaused: true, vmStatus: "Paused" },
  failed: { phase: "Failed", vmStatus: "Stopped" },
  alone: { phase: "Failed" },
  deleting: { phase: "Succeeded", isDeleted: true, vmStatus: "Stopping" },
  halting: { isDeleted: true, vmStatus: "Stopping" },
} as const satisfies Record<string, MachineState>;

type State = keyof typeof STATES;
/** A code and what the sentence says; "served" where it is. */
type Answer = "served" | readonly [code: number, message: RegExp];

const NOT_THERE: Partial<Record<State, Answer>> = {
  missing: [404, /"tiny" not found: see kubectl get vm/],
  stopped: [404, /"tiny" not found: start its virtual machine with "virtpod start tiny"/],
  failing: [404, /status of its virtual machine is CrashLoopBackOff, and kubectl describe vm tiny tells why/],
  failed: [409, /not running \(phase Failed\): start its virtual machine with "virtpod start tiny"/],
  alone: [409, /not running \(phase Failed\): delete it and create it anew/],
  deleting: [409, /shutting down: it can be started again once it is gone/],
};
const WAITS: Answer = [409, /not running yet \(phase Scheduling\): kubectl describe vmi tiny tells/];
const LEAVES: Answer = [409, /is shutting down/];
const PAUSED: Answer = [409, /paused: (let it go on with "virtpod unpause tiny"|unpause it)/];
const NOT_YET: Answer = [409, /not started yet/];

/** Through the launcher, or to the guest's screen and console, which are waited for. */
const STREAM = {
  ...NOT_THERE,
  unscheduled: [400, /not running yet/],
  starting: [400, /not there yet/],
  halting: LEAVES,
} satisfies Partial<Record<State, Answer>>;
const VERB = { ...NOT_THERE, unscheduled: WAITS, starting: NOT_YET, halting: LEAVES } satisfies Partial<
  Record<State, Answer>
>;
const INFO = { ...VERB, starting: [409, /no guest agent is connected/] } satisfies Partial<
  Record<State, Answer>
>;

const NOT_THERE_YET = { ...NOT_THERE, unscheduled: WAITS } satisfies Partial<Record<State, Answer>>;
const PORT = {
  ...NOT_THERE,
  unscheduled: WAITS,
  starting: [409, /no address yet/],
  paused: PAUSED,
  halting: [409, /no address yet/],
} satisfies Partial<Record<State, Answer>>;

/** What isn't told is served. */
const ANSWERS: Readonly<Record<string, Partial<Record<State, Answer>>>> = {
  "virtualmachineinstances/console": STREAM,
  "virtualmachineinstances/vnc": STREAM,
  "virtualmachineinstances/vnc/screenshot": { ...STREAM, paused: [503, /the screen's server left/] },
  "virtualmachineinstances/portforward": PORT,
  "virtualmachines/portforward": {
    ...PORT,
    missing: [404, /virtualmachines.kubevirt.io "tiny" not found/],
    stopped: [409, /default\/tiny is not running: start its virtual machine/],
    failing: [409, /default\/tiny is not running: the status .* is CrashLoopBackOff/],
    alone: [404, /virtualmachines.kubevirt.io "tiny" not found/],
  },
  "virtualmachineinstances/guestosinfo": INFO,
  "virtualmachineinstances/userlist": INFO,
  "virtualmachineinstances/filesystemlist": INFO,
  "virtualmachineinstances/network": { ...VERB, starting: [503, /not connected/] },
  // Its agent measures it, whatever the launcher says.
  "virtualmachineinstances/usage": NOT_THERE_YET,
  "virtualmachineinstances/freeze": { ...INFO, paused: PAUSED },
  "virtualmachineinstances/unfreeze": { ...INFO, paused: PAUSED },
  "virtualmachineinstances/pause": VERB,
  "virtualmachineinstances/unpause": VERB,
  "virtualmachineinstances/reset": VERB,
  "virtualmachineinstances/softreboot": { ...VERB, paused: PAUSED },
};

/** Held by start-stop.test.ts, on the real controllers. */
const ELSEWHERE = ["start", "stop", "restart", "expand-spec"].map((verb) => `virtualmachines/${verb}`);

const METRICS = { node: { cgroupVersion: 2, kernelBurst: "unknown", state: "unknown" }, launchers: [] };
const DHCP = { leases: {}, counters: {} };
const GUEST_AGENT = { supportedCommands: [], users: [], fileSystems: [], frozen: false };

/** A launcher in that state, as the agent relays it. */
function launcherIn(state: State): Routes {
  const isStarted = state !== "starting";
  const machine = {
    phase: { starting: "starting", halting: "stopping" }[state as string] ?? "running",
    ...(state === "paused" && { paused: { reason: "user" } }),
  } as LauncherState;
  const at = "/v1/launchers/pod-1";
  const routes: Record<string, Routes[string]> = {};
  for (const verb of ["pause", "unpause", "reset", "soft-reboot"] as const satisfies Verb[]) {
    routes[`POST ${at}/${verb}`] = (request) => {
      const admission = admit(machine, verb);
      if (admission.decision === "refuse") throw new RequestError(409, admission.code, admission.message);
      request.reply(204);
    };
  }
  const unless = (isThere: boolean, code: string, message: string) => {
    if (!isThere) throw new RequestError(409, code, message);
  };
  const isThere = isStarted && state !== "halting";
  for (const stream of ["console", "vnc"]) {
    routes[`POST ${at}/${stream}`] = (request) => {
      unless(isThere, "ConsoleNotOpen", "open only while the domain runs");
      request.accept().end();
    };
  }
  const asked = (answer?: object) => (request: Parameters<NonNullable<Routes[string]>>[0]) => {
    unless(isThere, "GuestAgentNotConnected", "no guest agent is connected");
    request.reply(answer === undefined ? 204 : 200, answer);
  };
  return {
    ...routes,
    [`GET ${at}/guest-agent`]: asked(GUEST_AGENT),
    [`POST ${at}/freeze`]: asked(),
    [`POST ${at}/unfreeze`]: asked(),
    "GET /v1/metrics": (request) => request.reply(200, METRICS),
    [`GET ${at}/dhcp`]: (request) => request.reply(200, DHCP),
    [`GET ${at}/network`]: (request) => {
      if (!isThere) throw new RequestError(503, "LauncherNotConnected", "the launcher is not connected");
      request.reply(200, { interfaces: [], differences: [] });
    },
  };
}

async function answerOf(
  t: TestContext,
  group: string,
  name: string,
  state: State,
): Promise<"served" | { readonly code: number; readonly message: string }> {
  const { caches, agents } = await reachableLauncher(t, launcherIn(state), STATES[state]);
  const [resource = "", ...rest] = name.split("/");
  const path = {
    group,
    namespace: "default",
    resource: resource as SubresourcePath["resource"],
    name: "tiny",
    subresource: rest.join("/"),
    ...(rest[0] === "portforward" && { parameters: ["22", "tcp"] }),
  };
  const handlers = {
    ...domainVerbHandlers(caches, agents),
    ...guestAgentHandlers(caches, agents),
    ...networkHandlers(caches, agents),
    ...screenshotHandlers(caches, agents),
    ...usageHandlers(caches, agents),
  };
  try {
    if (isStream(group, name)) await openSession(caches, agents, path);
    else await handlers[name]?.answer(path, { unfreezeTimeout: "1m" });
    return "served";
  } catch (error) {
    assert.ok(error instanceof StatusError, String(error));
    return { code: error.code, message: error.message };
  }
}

for (const [group, served] of Object.entries(SERVED)) {
  for (const { name } of served.filter(({ name }) => name.includes("/") && !ELSEWHERE.includes(name))) {
    describe(`${name} of a machine`, () => {
      const answers = ANSWERS[name];
      assert.ok(answers !== undefined, `nobody has said what ${name} answers`);
      for (const state of Object.keys(STATES) as State[]) {
        const wanted: Answer = answers[state] ?? "served";
        it(`that is ${state}: ${wanted === "served" ? wanted : wanted[0]}`, async (t) => {
          const got = await answerOf(t, group, name, state);
          if (wanted === "served") assert.equal(got, wanted);
          else {
            assert.ok(got !== "served", "it was served");
            assert.deepEqual(
              [got.code, got.message.match(wanted[1]) !== null],
              [wanted[0], true],
              got.message,
            );
          }
        });
      }
    });
  }
}
