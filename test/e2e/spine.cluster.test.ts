/** The spine: one VM from `kubectl apply` to nothing left, as a user goes through it. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Client } from "../../kube/client.ts";
import { PODS } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import {
  connectCluster,
  kubeconfigPath,
  launcherPods,
  makeNamespace,
  ROOT,
  removeNamespace,
  until,
  untilGone,
  untilLogged,
} from "../harness/cluster.ts";
import { capture, interact, untilHeard } from "../harness/command.ts";

const env = { ...process.env, KUBECONFIG: kubeconfigPath() };
const kubectl = (...args: readonly string[]) => capture("kubectl", args, env);

describe("a virtual machine on a real cluster", () => {
  let client: Client;
  let namespace: string;
  let podName: string;
  let address: string;

  before(async () => {
    client = await connectCluster();
    namespace = await makeNamespace(client, "spine");
  });
  after(async () => {
    await removeNamespace(client, namespace);
    await client.close();
  });

  it("runs in one container of a restricted namespace after kubectl apply", async () => {
    kubectl("apply", "-n", namespace, "-f", `${ROOT}/examples/vm.yaml`);
    const vmi = await until(client, VIRTUAL_MACHINE_INSTANCES, {
      namespace,
      name: "tiny",
      what: "phase Running",
      timeoutMs: 60_000,
      when: (object) => object?.status?.phase === "Running",
    });
    const [pod, ...others] = await launcherPods(client, namespace, "tiny");
    assert(pod !== undefined && others.length === 0);
    podName = pod.metadata.name;
    assert.equal(pod.spec.containers.length, 1);
    assert.equal(pod.spec.initContainers, undefined);
    assert.equal(vmi?.status?.nodeName, pod.spec.nodeName);
    await until(client, VIRTUAL_MACHINES, {
      namespace,
      name: "tiny",
      what: "printableStatus Running",
      timeoutMs: 60_000,
      when: (vm) => vm?.status?.printableStatus === "Running" && vm.status.ready === true,
    });
  });

  it("gives the guest the pod's own address by DHCP", async () => {
    const lease = await untilLogged(
      client,
      { namespace, name: podName },
      /virtpod-guest: uptime=[\d.]+ lease ip=([\d.]+)/,
      60_000,
    );
    const pod = await client.resource(PODS).namespace(namespace).get(podName);
    address = pod.status?.podIP ?? "";
    assert.equal(lease[1], address);
    const vmi = await client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(namespace).get("tiny");
    assert.equal(vmi.status?.interfaces?.[0]?.ipAddress, address);
  });

  it("answers HTTP at that address", async () => {
    await untilLogged(
      client,
      { namespace, name: podName },
      /virtpod-guest: uptime=[\d.]+ http ready/,
      60_000,
    );
    const response = await fetch(`http://${address}/`, { signal: AbortSignal.timeout(60_000) });
    const body = (await response.json()) as { address: string };
    assert.equal(body.address, address);
  });

  it("shows its console in the terminal and takes commands there", async () => {
    const session = interact("node", ["cli/main.ts", "console", "tiny", "-n", namespace], env);
    try {
      await session.expect(/Connected to the console/, 60_000);
      await untilHeard(session, "answered");
      session.write("\x1d");
      assert.equal(await session.ended, 0);
    } finally {
      session.kill();
    }
  });

  it("leaves nothing after kubectl delete", async () => {
    kubectl("delete", "-n", namespace, "vm", "tiny", "--wait=false");
    await untilGone(client, VIRTUAL_MACHINES, { namespace, name: "tiny", timeoutMs: 60_000 });
    await untilGone(client, VIRTUAL_MACHINE_INSTANCES, { namespace, name: "tiny", timeoutMs: 5_000 });
    assert.deepEqual(await launcherPods(client, namespace, "tiny"), []);
  });
});
