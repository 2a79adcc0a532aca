/**
 * Sessions and discovery while those who serve them die. Disturbs the deployment: kills an operator and the agent,
 * and takes both operators away for a while.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { NAMESPACES, type Namespace, PODS } from "../../kube/resources.ts";
import { connectCluster, kubeconfigPath, makeNamespace, until, untilGone } from "../harness/cluster.ts";
import { capture, clusterTool, type Interactive, interact, untilHeard } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { Guests } from "../harness/guest.ts";
import { type Session, Subresources } from "../harness/subresource.ts";
import { killSystem, SYSTEM, systemPods, untilSuccessor } from "../harness/system.ts";

const NAME = "tiny";
const CONSOLE = `virtualmachineinstances/${NAME}/console`;
const DISCOVERY = "/apis/subresources.kubevirt.io/v1";
const OPERATOR = "app.kubernetes.io/name=virtpod-operator";
/** From a program's death to the next one that serves. */
const BACK_MS = 120_000;
/** From a program's death to a word of it at its client. */
const TOLD_MS = 60_000;
/** A guest's; what was lost with a connection is typed again after that. */
const ANSWER_MS = 10_000;

const env = { ...process.env, KUBECONFIG: kubeconfigPath() };

describe("while a console is open", { concurrency: 1 }, () => {
  let guests: Guests;
  let api: Subresources;

  before(async () => {
    guests = await Guests.open("sessions");
    api = new Subresources(guests.namespace);
    await guests.create(NAME);
    await guests.answering(NAME);
  });
  after(async () => {
    scaleOperator(2);
    await guests.close();
  });

  /** `virtpod console` in a shell of the guest. */
  async function attached(): Promise<Interactive> {
    const terminal = interact("node", ["cli/main.ts", "console", NAME, "-n", guests.namespace], env);
    await terminal.expect(/Connected to the console/, TOLD_MS);
    await untilHeard(terminal, "before");
    return terminal;
  }

  async function leave(terminal: Interactive): Promise<void> {
    terminal.kill();
    await terminal.ended;
  }

  for (const [what, program] of [
    ["the operator's replicas", "virtpod-operator"],
    ["the agent", "virtpod-agent"],
  ] as const) {
    it(`killing ${what} costs its client a reconnection, and the guest nothing`, async () => {
      const terminal = await attached();
      try {
        // Nobody tells which replica it is.
        const untilBack = await killSystem(guests.client, program);
        await terminal.expect(/connecting again/, TOLD_MS);
        await terminal.expect(/Connected again/, BACK_MS);
        await untilHeard(terminal, "after", BACK_MS);
        await untilBack();
      } finally {
        await leave(terminal);
      }
    });
  }

  it("an agent that dies is told to the client as such", async () => {
    const session = await untilServed(() => api.session(CONSOLE));
    const untilBack = await killSystem(guests.client, "virtpod-agent");
    const { code, reason } = await session.closed();
    assert.equal(code, 1012);
    assert.match(reason, /lost: connect again/);
    await untilBack();
  });

  it("an operator that is told to go tells its clients to connect again", async () => {
    const session: Session = await untilServed(() => api.session(CONSOLE));
    const told = await systemPods(guests.client, "virtpod-operator");
    const known = new Set(told.map(({ metadata }) => metadata.uid));
    for (const { metadata } of told) {
      await guests.client.resource(PODS).namespace(SYSTEM).delete(metadata.name);
      known.add((await untilSuccessor(guests.client, "virtpod-operator", known)).metadata.uid);
    }
    const { code, reason } = await session.closed();
    assert.equal(code, 1012);
    assert.match(reason, /shuts down: connect again/);
  });

  it("with no operator nothing is discovered or deleted, and all of it is made up for by the next", async () => {
    const client = await connectCluster();
    // Before they are told to go, and with those that go already: the last of them is still asked if there is no other.
    const { items } = await client.resource(PODS).namespace(SYSTEM).list({ labelSelector: OPERATOR });
    scaleOperator(0);
    try {
      for (const { metadata } of items)
        await untilGone(client, PODS, { namespace: SYSTEM, name: metadata.name, timeoutMs: BACK_MS });
      const refusal = await api.askAt("GET", DISCOVERY);
      assert.equal(refusal.status, 503);
      const namespace = await makeNamespace(client, "stuck");
      await client.resource(NAMESPACES).delete(namespace);
      await untilNamespace(
        client,
        namespace,
        "a deletion that waits for discovery",
        (seen) =>
          seen?.status?.conditions?.some(
            ({ type, status }) => type === "NamespaceDeletionDiscoveryFailure" && status === "True",
          ) === true,
      );
      scaleOperator(2);
      await untilNamespace(client, namespace, "its end", (seen) => seen === undefined);
      await untilServed(async () => assert.equal((await api.askAt("GET", DISCOVERY)).status, 200));
      await untilServed(async () => {
        const session = await api.session(CONSOLE);
        session.send("\necho alive-$((6 * 7))\n");
        await session.expect(/alive-42/, ANSWER_MS);
        session.websocket.close();
        await session.closed();
      });
    } finally {
      scaleOperator(2);
      await client.close();
    }
  });

  /** Agents look for new replicas at intervals; until they have, a replica knows no way to the guest. */
  const untilServed = <T>(attempt: () => Promise<T>) => eventually(attempt, BACK_MS);

  async function untilNamespace(
    client: Awaited<ReturnType<typeof connectCluster>>,
    name: string,
    what: string,
    when: (
      namespace: (Namespace & { status?: { conditions?: { type: string; status: string }[] } }) | undefined,
    ) => boolean,
  ): Promise<void> {
    await until(client, NAMESPACES, { name, what, timeoutMs: 120_000, when });
  }

  function scaleOperator(replicas: number): void {
    const kubectl = clusterTool("kubectl");
    const deployment = "deployment/virtpod-operator";
    capture(kubectl, ["-n", SYSTEM, "scale", deployment, `--replicas=${replicas}`], env);
    if (replicas > 0)
      capture(kubectl, ["-n", SYSTEM, "rollout", "status", deployment, `--timeout=${BACK_MS / 1000}s`], env);
  }
});
