/**
 * Sessions and discovery while those who serve them die. Disturbs the deployment: kills an operator and the agent,
 * and takes both operators away for a while.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { NAMESPACES, type Namespace, PODS } from "../../kube/resources.ts";
import { connectCluster, kubeconfigPath, makeNamespace, until, untilGone } from "../harness/cluster.ts";
import { capture, clusterTool, type Interactive, interact } from "../harness/command.ts";
import { Guests } from "../harness/guest.ts";
import { killProgram } from "../harness/node.ts";
import { type Session, Subresources } from "../harness/subresource.ts";
import { SYSTEM, type SystemProgram, systemPods } from "../harness/system.ts";

const NAME = "tiny";
const CONSOLE = `virtualmachineinstances/${NAME}/console`;
const DISCOVERY = "/apis/subresources.kubevirt.io/v1";
/** From a program's death to the next one that serves. */
const BACK_MS = 60_000;

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

  async function untilReady(program: SystemProgram): Promise<void> {
    for (const { metadata } of await systemPods(guests.client, program)) {
      await until(guests.client, PODS, {
        namespace: SYSTEM,
        name: metadata.name,
        what: "a pod that is ready",
        timeoutMs: BACK_MS,
        when: (pod) =>
          pod?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true,
      });
    }
  }

  /** `virtpod console` in a shell of the guest. */
  async function attached(): Promise<Interactive> {
    const terminal = interact("node", ["cli/main.ts", "console", NAME, "-n", guests.namespace], env);
    await terminal.expect(/Connected to the console/, 15_000);
    await typed(terminal, "before");
    return terminal;
  }

  /** Types until the guest answers: what is typed while a connection breaks is lost with it. */
  async function typed(terminal: Interactive, word: string): Promise<void> {
    terminal.write(`\necho ${word}-$((6 * 7))\n`);
    await terminal.expect(new RegExp(`${word}-42`), 15_000);
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
        killProgram(await systemPods(guests.client, program), /^node$/);
        await terminal.expect(/connecting again/, 15_000);
        await terminal.expect(/Connected again/, BACK_MS);
        await typed(terminal, "after");
      } finally {
        await leave(terminal);
      }
      await untilReady(program);
    });
  }

  it("an agent that dies is told to the client as such", async () => {
    const session = await api.session(CONSOLE);
    killProgram(await systemPods(guests.client, "virtpod-agent"), /^node$/);
    const { code, reason } = await session.closed;
    assert.equal(code, 1012);
    assert.match(reason, /lost: connect again/);
    await untilReady("virtpod-agent");
  });

  it("an operator that is told to go tells its clients to connect again", async () => {
    const session: Session = await untilServed(() => api.session(CONSOLE));
    for (const { metadata } of await systemPods(guests.client, "virtpod-operator")) {
      await guests.client.resource(PODS).namespace(SYSTEM).delete(metadata.name);
      await untilReady("virtpod-operator");
    }
    const { code, reason } = await session.closed;
    assert.equal(code, 1012);
    assert.match(reason, /shuts down: connect again/);
  });

  it("with no operator nothing is discovered or deleted, and all of it is made up for by the next", async () => {
    const client = await connectCluster();
    // Before they are told to go: those that go already are not among them.
    const operators = await systemPods(client, "virtpod-operator");
    scaleOperator(0);
    try {
      for (const { metadata } of operators)
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
      assert.equal((await api.askAt("GET", DISCOVERY)).status, 200);
      const session = await untilServed(() => api.session(CONSOLE));
      session.send("\necho alive-$((6 * 7))\n");
      await session.expect(/alive-42/);
      session.websocket.close();
    } finally {
      scaleOperator(2);
      await client.close();
    }
  });

  /** Agents look for new replicas at intervals; until they have, a replica knows no way to the guest. */
  async function untilServed<T>(attempt: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + BACK_MS;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

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
