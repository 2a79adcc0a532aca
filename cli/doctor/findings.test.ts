import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConditionFact, Facts, PodFact, VmFact, VmiFact } from "./facts.ts";
import { findingsOf } from "./findings.ts";

const NOW = Date.parse("2026-01-01T00:10:00Z");
const OLD = "2026-01-01T00:00:00Z";

const metadata = (name: string, more: object = {}) => ({ name, creationTimestamp: OLD, ...more });
const condition = (type: string, status: string, reason = "", message = ""): ConditionFact => ({
  type,
  status,
  reason,
  message,
});
const vm = (runStrategy: string, status: VmFact["status"] = { printableStatus: "Starting" }): VmFact => ({
  metadata: metadata("web"),
  spec: { runStrategy },
  ...(status !== undefined && { status }),
});
const vmi = (phase: string, ...conditions: readonly ConditionFact[]): VmiFact => ({
  metadata: metadata("web"),
  status: { phase, conditions },
});
const pod = (phase: string, status: PodFact["status"] = {}, nodeName = "n1"): PodFact => ({
  metadata: metadata("virt-launcher-web"),
  spec: phase === "Pending" && nodeName === "" ? {} : { nodeName },
  status: { phase, ...status },
});
const unscheduled = (message: string) =>
  pod("Pending", { conditions: [condition("PodScheduled", "False", "Unschedulable", message)] }, "");
const waiting = (reason: string, message: string) =>
  pod("Pending", { containerStatuses: [{ name: "compute", state: { waiting: { reason, message } } }] });
const node = (name: string, allocatable: Readonly<Record<string, string>> = {}, isReady = "True") => ({
  metadata: metadata(name),
  status: {
    allocatable,
    conditions: [condition("Ready", isReady, "", isReady === "True" ? "" : "Kubelet stopped")],
  },
});
const agent: PodFact = { metadata: metadata("virtpod-agent-x"), status: { phase: "Running" } };
const connected = condition("AgentConnected", "True");
const ready = condition("Ready", "True");

const facts = (given: Partial<Facts>): Facts => ({
  namespace: "demo",
  name: "web",
  nowMs: NOW,
  isInstalled: true,
  pods: [],
  claims: {},
  nodes: [],
  events: [],
  unseen: [],
  ...given,
});

const RUNNING: Partial<Facts> = {
  vm: vm("Always", { printableStatus: "Running" }),
  vmi: vmi("Running", ready, connected),
  pods: [pod("Running")],
  nodes: [node("n1")],
  agent,
};

test("nothing is found on a machine that runs", () => {
  assert.deepEqual(findingsOf(facts(RUNNING)), []);
});

/** What is given, the code of the first finding, what it says, and what it says to do. */
const cases: readonly (readonly [string, Partial<Facts>, string, RegExp, RegExp?])[] = [
  [
    "no virtpod in the cluster",
    { isInstalled: false },
    "NotInstalled",
    /knows no VirtualMachines/,
    /helm install/,
  ],
  [
    "no operator",
    { ...RUNNING, operatorProblem: "status 503" },
    "OperatorAway",
    /no operator.*503/,
    /describe apiservice v1\.subresources/,
  ],
  ["no such machine", {}, "NotFound", /no virtual machine web in the namespace demo/, /-n/],
  ["a machine that is not to run", { vm: vm("Halted") }, "Halted", /Halted/, /virtpod start web/],
  [
    "running: false",
    { vm: { ...vm("x"), spec: { running: false } } },
    "Halted",
    /is not to run/,
    /virtpod start web/,
  ],
  ["a manual one that nobody started", { vm: vm("Manual") }, "NotStarted", /Manual/, /virtpod start web/],
  [
    "a guest that has powered off",
    {
      vm: vm("RerunOnFailure", {
        conditions: [condition("Completed", "True", "Succeeded", "it has powered off")],
      }),
      vmi: vmi("Succeeded"),
    },
    "Completed",
    /RerunOnFailure starts no other: it has powered off/,
    /virtpod start web/,
  ],
  [
    "one that ran once",
    { vm: vm("Once", { conditions: [condition("Completed", "True", "Failed", "")] }) },
    "Completed",
    /Once starts no other/,
    /another run strategy/,
  ],
  [
    "a missing claim",
    { vm: vm("Always"), vmi: vmi("Pending"), claims: { data: undefined } },
    "ClaimMissing",
    /PersistentVolumeClaim data doesn't exist/,
    /make it/,
  ],
  [
    "a claim without volume",
    {
      vm: vm("Always"),
      vmi: vmi("Pending"),
      claims: {
        data: {
          metadata: metadata("data"),
          spec: { storageClassName: "slow" },
          status: { phase: "Pending" },
        },
      },
      events: [
        {
          involvedObject: { kind: "PersistentVolumeClaim", name: "data" },
          message: "no provisioner named slow",
        },
      ],
    },
    "ClaimPending",
    /has no volume yet: no provisioner named slow/,
    /describe pvc data; its storage class is slow/,
  ],
  [
    "a claim whose volume is lost",
    {
      vm: vm("Always"),
      vmi: vmi("Pending"),
      claims: { data: { metadata: metadata("data"), status: { phase: "Lost" } } },
    },
    "ClaimLost",
    /lost its volume/,
  ],
  [
    "a claim that another machine has",
    { vm: vm("Always"), vmi: vmi("Pending", condition("Synchronized", "False", "PvcInUse", "data is db's")) },
    "PvcInUse",
    /data is db's/,
    /stop the machine/,
  ],
  [
    "a quota",
    {
      vm: vm("Always"),
      vmi: vmi("Pending", condition("Synchronized", "False", "FailedCreate", "exceeded quota: small")),
    },
    "FailedCreate",
    /exceeded quota: small/,
    /larger ResourceQuota/,
  ],
  [
    "a Pod Security level",
    {
      vm: vm("Always"),
      vmi: vmi("Pending", condition("Synchronized", "False", "FailedCreate", 'violates PodSecurity "x"')),
    },
    "FailedCreate",
    /violates PodSecurity/,
    /restricted/,
  ],
  [
    "an image that isn't there, by the VMI",
    {
      vm: vm("Always"),
      vmi: vmi("Scheduling", condition("Synchronized", "False", "ErrImagePull", "x: not found")),
    },
    "ErrImagePull",
    /x: not found/,
    /name and tag/,
  ],
  [
    "an image that isn't there, by the pod",
    {
      vm: vm("Always"),
      vmi: vmi("Scheduling"),
      pods: [waiting("ImagePullBackOff", "Back-off pulling x")],
      nodes: [node("n1")],
    },
    "ImagePullBackOff",
    /compute can't start: Back-off pulling x/,
    /registry/,
  ],
  [
    "a Secret that a volume names",
    {
      vm: vm("Always"),
      vmi: vmi("Scheduling", condition("Synchronized", "False", "FailedMount", "secret keys not found")),
    },
    "FailedMount",
    /secret keys not found/,
    /two minutes/,
  ],
  [
    "no node with KVM",
    {
      vm: vm("Always"),
      vmi: vmi("Scheduling"),
      pods: [unscheduled("0/1 nodes are available: 1 Insufficient devices.kubevirt.io/kvm.")],
      nodes: [node("n1", { "virtpod.io/launcher": "110" })],
    },
    "Unschedulable",
    /Insufficient devices.kubevirt.io\/kvm/,
    /no node has KVM.*useEmulation/,
  ],
  [
    "no node with an agent",
    {
      vm: vm("Always"),
      vmi: vmi("Scheduling"),
      pods: [unscheduled("1 Insufficient virtpod.io/launcher.")],
      nodes: [node("n1")],
    },
    "Unschedulable",
    /virtpod.io\/launcher/,
    /is the agent running there/,
  ],
  [
    "every device taken",
    {
      vm: vm("Always"),
      vmi: vmi("Scheduling"),
      pods: [unscheduled("1 Insufficient virtpod.io/launcher.")],
      nodes: [node("n1", { "virtpod.io/launcher": "110" })],
    },
    "Unschedulable",
    /virtpod.io\/launcher/,
    /every virtpod.io\/launcher is taken/,
  ],
  [
    "too little memory",
    { vm: vm("Always"), vmi: vmi("Scheduling"), pods: [unscheduled("1 Insufficient memory.")] },
    "Unschedulable",
    /Insufficient memory/,
    /ask for less/,
  ],
  [
    "a node selector that fits none",
    {
      vm: vm("Always"),
      vmi: vmi("Scheduling"),
      pods: [unscheduled("1 node(s) didn't match node affinity/selector")],
    },
    "Unschedulable",
    /affinity/,
    /nodeSelector/,
  ],
  [
    "a taint",
    {
      vm: vm("Always"),
      vmi: vmi("Scheduling"),
      pods: [unscheduled("1 node(s) had untolerated taint {x: }")],
    },
    "Unschedulable",
    /taint/,
    /toleration/,
  ],
  [
    "a crash loop",
    {
      vm: vm("Always", {
        printableStatus: "CrashLoopBackOff",
        startFailure: { consecutiveFailCount: 3 },
        conditions: [
          condition("Failure", "True", "CrashLoopBackOff", "the next one is due soon: kernel panic"),
        ],
      }),
    },
    "CrashLoop",
    /failed 3 times in a row: .*kernel panic/,
    /virtpod console web/,
  ],
  [
    "a VMI of somebody else's",
    { vm: vm("Always", { conditions: [condition("Failure", "True", "InstanceNotOwned")] }) },
    "InstanceNotOwned",
    /this machine didn't make/,
    /kubectl delete vmi web/,
  ],
  [
    "a launcher killed for its memory",
    {
      vm: vm("Always"),
      vmi: vmi("Failed"),
      pods: [
        pod("Running", {
          containerStatuses: [{ name: "compute", state: { terminated: { reason: "OOMKilled" } } }],
        }),
      ],
      nodes: [node("n1")],
    },
    "OOMKilled",
    /memory limit/,
    /limits\.memory/,
  ],
  [
    "an evicted pod",
    {
      vm: vm("Always"),
      vmi: vmi("Running", ready, connected),
      pods: [pod("Failed", { reason: "Evicted", message: "The node was low on resource: memory." })],
      nodes: [node("n1")],
    },
    "Evicted",
    /low on resource: memory/,
    /short of something/,
  ],
  [
    "a node that is gone",
    { ...RUNNING, nodes: [node("n1", {}, "Unknown")] },
    "NodeNotReady",
    /n1 is not ready: Kubelet stopped/,
    /out-of-service/,
  ],
  [
    "a node without agent",
    { ...RUNNING, agent: null },
    "AgentMissing",
    /n1 has no agent/,
    /daemonset virtpod-agent/,
  ],
  [
    "an agent that doesn't run",
    { ...RUNNING, agent: { ...agent, status: { phase: "Pending" } } },
    "AgentNotRunning",
    /virtpod-agent-x.*Pending/,
    /describe pod/,
  ],
  [
    "an agent that wasn't told of the pod",
    {
      vm: vm("Always"),
      vmi: vmi("Scheduling", condition("Synchronized", "False", "NotAnnounced", "not announced")),
    },
    "NotAnnounced",
    /not announced/,
    /connected/,
  ],
  [
    "a paused guest",
    { ...RUNNING, vmi: vmi("Running", connected, condition("Paused", "True", "PausedByUser", "paused")) },
    "PausedByUser",
    /stands still/,
    /virtpod unpause web/,
  ],
  [
    "a full disk",
    {
      ...RUNNING,
      vmi: vmi("Running", connected, condition("Paused", "True", "PausedIOError", "root is full")),
    },
    "PausedIOError",
    /root is full/,
    /make room/,
  ],
  [
    "a failed run",
    {
      vmi: { metadata: metadata("web"), status: { phase: "Failed", reason: "GuestPanicked" } },
      events: [
        { reason: "Stopped", message: "the guest's kernel panicked", involvedObject: { name: "web" } },
      ],
    },
    "GuestPanicked",
    /\(GuestPanicked\): the guest's kernel panicked/,
    /troubleshooting/,
  ],
  [
    "a guest that doesn't answer its probe",
    {
      ...RUNNING,
      vmi: vmi("Running", connected, condition("Ready", "False", "GuestNotReady", "probe fails")),
    },
    "GuestNotReady",
    /is not ready: probe fails/,
    /readinessProbe/,
  ],
  [
    "no guest agent",
    { ...RUNNING, vmi: vmi("Running", ready) },
    "NoGuestAgent",
    /no guest agent/,
    /qemu-guest-agent/,
  ],
  [
    "a changed template",
    { ...RUNNING, vm: vm("Always", { conditions: [condition("RestartRequired", "True")] }) },
    "RestartRequired",
    /template has changed/,
    /virtpod restart web/,
  ],
  [
    "a deletion that doesn't end",
    {
      ...RUNNING,
      vm: { ...vm("Always"), metadata: metadata("web", { deletionTimestamp: OLD, finalizers: ["a/b"] }) },
    },
    "BeingDeleted",
    /since 600 s, held by a\/b/,
    /--force/,
  ],
  [
    "an operator that writes no status",
    { vm: { metadata: metadata("web"), spec: { runStrategy: "Always" } } },
    "NotReconciled",
    /no status/,
    /virtpod-operator/,
  ],
];

describe("the first thing that is found is", () => {
  for (const [what, given, code, says, todo] of cases)
    test(what, () => {
      const [first] = findingsOf(facts(given));
      assert.equal(first?.code, code);
      assert.match(first.what, says);
      if (todo !== undefined) assert.match(first.todo ?? "", todo);
    });
});

test("what keeps a machine from running stands before what may, and that before the rest", () => {
  const found = findingsOf(
    facts({
      ...RUNNING,
      vmi: vmi("Running", condition("Ready", "False", "GuestNotReady", "")),
      agent: null,
    }),
  );
  assert.deepEqual(
    found.map(({ level }) => level),
    ["error", "warning", "note"],
  );
});

test("a machine that was just made is left alone, and so is one whose VMI waits for nothing", () => {
  const fresh = {
    metadata: { ...metadata("web"), creationTimestamp: "2026-01-01T00:09:50Z" },
    spec: { runStrategy: "Always" },
  };
  assert.deepEqual(findingsOf(facts({ vm: fresh })), []);
});
