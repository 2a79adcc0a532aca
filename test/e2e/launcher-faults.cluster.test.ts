/** A launcher that dies under its guest, and a pod that only pretends to be one. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Container, PODS, type Pod } from "../../kube/resources.ts";
import { untilGone, untilLogged } from "../harness/cluster.ts";
import { condition, Guests, knock, onKnock } from "../harness/guest.ts";
import { limitMemory, nameVictim } from "../harness/memory-limit.ts";
import { killProgram, lastingRemainsOf, remainsOf, tracesOf } from "../harness/node.ts";
import { systemPods } from "../harness/system.ts";

/**
 * Runs in the pretender: dials the agent as a launcher does, and prints each thing that the agent or the pod's /dev
 * has for it as a line of JSON.
 */
const PRETENDER = `
  const { performServerHandshake } = require("node:http2");
  const { statSync } = require("node:fs");
  const { connect } = require("node:net");
  const say = (what) => console.log(JSON.stringify(what));
  const tun = () => { const { uid, gid } = statSync("/dev/net/tun"); return { uid, gid }; };
  say({ before: tun(), links: Object.keys(require("node:os").networkInterfaces()).sort() });
  const socket = connect("/run/virtpod/agent/agent.sock", () => {
    say({ connected: true });
    performServerHandshake(socket).on("stream", (stream, headers) => {
      let body = "";
      stream.on("data", (chunk) => { body += chunk; }).on("end", () => {
        say({ path: headers[":path"], attachment: JSON.parse(body) });
        stream.respond({ ":status": 204 }, { endStream: true });
      });
    });
  });
  socket.on("error", () => {}).on("close", () => {
    say({ closed: true, after: tun(), links: Object.keys(require("node:os").networkInterfaces()).sort() });
  });
`;

const STATUS_MS = 90_000;

const MIB = 1024 * 1024;

interface Said {
  readonly before?: { readonly uid: number };
  readonly after?: { readonly uid: number };
  readonly links?: readonly string[];
  readonly attachment?: { readonly ok: boolean; readonly code?: string; readonly message?: string };
}

describe("a launcher", { concurrency: 3 }, () => {
  let guests: Guests;
  before(async () => {
    guests = await Guests.open("launchers");
  });
  after(() => guests.close());

  /** The program dies: the incarnation has failed, the next one comes after the back-off, nothing is left of the first. */
  async function assertRestarted(name: string, program: RegExp, words: RegExp): Promise<void> {
    await guests.create(name);
    const { pod } = await guests.answering(name);
    const traces = tracesOf(pod);
    const vmiUid = vmiUidOf(pod);
    const failed = guests.untilVmi(
      name,
      "the phase Failed",
      STATUS_MS,
      ({ metadata, status }) => metadata.uid === vmiUid && status?.phase === "Failed",
    );
    const backingOff = guests.untilStatus(name, "CrashLoopBackOff", STATUS_MS);
    killProgram([pod], program);
    assert.match(condition(await failed, "Ready")?.message ?? "", words);
    const retryAt = Date.parse((await backingOff).status?.startFailure?.retryAfterTimestamp ?? "");
    const next = await guests.untilVmi(
      name,
      "the next incarnation running",
      STATUS_MS,
      ({ metadata, status }) => metadata.uid !== vmiUid && status?.phase === "Running",
    );
    assert.ok(Date.parse(next.metadata.creationTimestamp ?? "") >= retryAt, "it was started before its time");
    assert.deepEqual(await lastingRemainsOf(traces), []);
    await guests.remove(name);
  }

  it("whose process is killed has failed, and the VM starts again after a back-off", () =>
    assertRestarted("no-launcher", /^node$/, /exit code 137/));

  it("whose qemu is killed says so, and the VM starts again after a back-off", () =>
    assertRestarted("no-qemu", /^qemu-system/, /qemu/));

  /** The guest takes memory until the kernel ends this program: everybody says why. */
  async function assertOutOfMemory(name: string, victim: RegExp): Promise<void> {
    // Far more than is spared below, also where half of it is all that the guest's file system may hold.
    await guests.create(name, { domain: { memory: { guest: "256Mi" } } });
    const { pod, address } = await guests.answering(name);
    // Before the limit: a console takes memory of the launcher's, and the victim carries the line's echo.
    await guests.type(name, onKnock("cat /dev/zero > /fill"));
    const failed = guests.untilVmi(
      name,
      "the phase Failed",
      STATUS_MS,
      ({ metadata, status }) => metadata.uid === vmiUidOf(pod) && status?.phase === "Failed",
    );
    const backingOff = guests.untilStatus(name, "CrashLoopBackOff", STATUS_MS);
    // Whichever fails first says why.
    for (const promise of [failed, backingOff]) promise.catch(() => {});
    nameVictim(pod, victim);
    limitMemory(pod, 24 * MIB);
    await knock(address);
    assert.equal((await failed).status?.reason, "OOMKilled");
    assert.match(condition(await backingOff, "Failure")?.message ?? "", /memory/);
    await guests.untilEvent(name, "Stopped", /memory/, STATUS_MS);
    await guests.remove(name);
  }

  it("whose qemu the kernel ends for want of memory says so, and the VM waits for its next start", () =>
    assertOutOfMemory("big-qemu", /^qemu-system/));

  it("which the kernel ends for want of memory has failed for that", () =>
    assertOutOfMemory("big-launcher", /^node$/));

  it("whose pod is deleted by force is gone before its pod is, and the VM starts again", async () => {
    await guests.create("forced");
    const { pod } = await guests.answering("forced");
    const traces = tracesOf(pod);
    const { name } = pod.metadata;
    const gone = untilGone(guests.client, PODS, { namespace: guests.namespace, name, timeoutMs: STATUS_MS });
    await pods().delete(name, { gracePeriodSeconds: 0 });
    await gone;
    assert.deepEqual(
      remainsOf(traces).filter((trace) => trace.startsWith("process")),
      [],
    );
    await guests.untilVmi(
      "forced",
      "the next incarnation running",
      STATUS_MS,
      ({ status, metadata }) => metadata.uid !== vmiUidOf(pod) && status?.phase === "Running",
    );
    await guests.remove("forced");
  });

  it("is not every pod that asks for a launcher's devices: one that pretends gets nothing", async () => {
    const [agent] = await systemPods(guests.client, "virtpod-agent");
    const image = agent?.spec.initContainers?.[0]?.image ?? "";
    await pods().create({ metadata: { name: "pretender" }, spec: pretender(image) });
    const where = { namespace: guests.namespace, name: "pretender" };
    const { input } = await untilLogged(guests.client, where, /"closed":true.*\n/, STATUS_MS);
    const said = input
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Said);
    const first = said.find((one) => one.before !== undefined);
    const last = said.find((one) => one.after !== undefined);
    assert.equal(first?.before?.uid, 0, input);
    assert.deepEqual([last?.after, last?.links], [first?.before, first?.links], input);
    const attachments = said.flatMap(({ attachment }) => (attachment === undefined ? [] : [attachment]));
    assert.deepEqual(
      attachments.map(({ ok, code }) => ({ ok, code })),
      [{ ok: false, code: "NotAnnounced" }],
      input,
    );
    await pods().delete("pretender", { gracePeriodSeconds: 0 });
  });

  const pods = () => guests.resource(PODS);
  const vmiUidOf = ({ metadata }: Pod) => metadata.labels?.["kubevirt.io/created-by"];

  /** As much like a launcher as anyone may make it: its image, user and devices, but not the operator's word. */
  function pretender(image: string): Pod["spec"] {
    const devices = { "virtpod.io/launcher": "1", "devices.kubevirt.io/tun": "1" };
    const container: Container = {
      name: "compute",
      image,
      imagePullPolicy: "IfNotPresent",
      command: ["/usr/bin/node", "-e", PRETENDER],
      resources: { requests: devices, limits: devices },
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
    };
    return {
      restartPolicy: "Never",
      automountServiceAccountToken: false,
      securityContext: {
        runAsUser: 107,
        runAsGroup: 107,
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
      },
      containers: [container],
    };
  }
});
