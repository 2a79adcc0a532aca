/**
 * A guest behind its pod's address: what it reaches, and who reaches it. Network policies need a CNI plugin that has
 * them: agent/network/policy.boundary.test.ts.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { mergePatch } from "../../kube/request.ts";
import { PODS, SERVICES } from "../../kube/resources.ts";
import { VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { kubeconfigPath, until } from "../harness/cluster.ts";
import { capture, interact } from "../harness/command.ts";
import { ask, Guests } from "../harness/guest.ts";

const LISTED = 80;
const UNLISTED = 8080;
const STATUS_MS = 90_000;
const env = { ...process.env, KUBECONFIG: kubeconfigPath() };

interface Self {
  readonly address: string;
  readonly hostname: string;
  readonly mac: string;
}

describe("a guest behind masquerade", () => {
  let guests: Guests;
  let podIP: string;
  let podName: string;
  let peer: string;

  before(async () => {
    guests = await Guests.open("masquerade");
    const ports = [{ name: "http", port: LISTED }];
    const interfaces = [{ name: "default", masquerade: {}, ports }];
    const readinessProbe = { httpGet: { port: LISTED, path: "/" }, periodSeconds: 1 };
    const [hidden, other] = await Promise.all([
      guests
        .create("hidden", {
          labels: { app: "hidden" },
          spec: { networks: [{ name: "default", pod: {} }], readinessProbe },
          domain: { devices: { interfaces } },
        })
        .then(() => guests.answering("hidden")),
      guests.create("peer").then(() => guests.answering("peer")),
    ]);
    assert.equal(hidden.address, "10.0.2.2");
    podName = hidden.pod.metadata.name;
    podIP = hidden.pod.status?.podIP ?? "";
    peer = other.address;
  });
  after(() => guests.close());

  const macOf = async (name: string) => {
    const vmi = await guests.untilVmi(name, "an interface", STATUS_MS, ({ status }) => {
      return status?.phase === "Running" && status.interfaces?.[0]?.mac !== undefined;
    });
    return vmi.status?.interfaces?.[0]?.mac;
  };

  it("has an address that only it sees, while its status and everyone else know it by the pod's", async () => {
    const vmi = await guests.untilVmi("hidden", "an address", STATUS_MS, ({ status }) => {
      return status?.interfaces?.[0]?.ipAddress !== undefined;
    });
    assert.equal(vmi.status?.interfaces?.[0]?.ipAddress, podIP);
    const self = await ask<Self>(podIP, "/");
    assert.deepEqual([self.address, self.hostname], ["10.0.2.2", "hidden"]);
    assert.equal(self.mac, vmi.status?.interfaces?.[0]?.mac);
  });

  it("reaches other pods, the cluster's DNS, and Services, one of its own among them", async () => {
    await guests.type("hidden", `wget -qO- http://${peer}/`, /"hostname":"peer"/);
    const spec = { selector: { app: "hidden" }, ports: [{ port: 8000, targetPort: LISTED }] };
    await guests.resource(SERVICES).create({ metadata: { name: "hidden" }, spec });
    const name = `hidden.${guests.namespace}.svc.cluster.local`;
    // Endpoints, the node's rules and the DNS server each learn of it on their own time.
    const untilServed = `until wget -qO- http://${name}:8000/; do sleep 1; done`;
    await guests.type("hidden", untilServed, /"address":"10\.0\.2\.2"/);
    await guests.type("peer", `wget -qO- http://${name}:8000/`, /"hostname":"hidden"/);
  });

  it("is reached at its listed port only, although it listens on another", async () => {
    await guests.type("hidden", `nc -ll -p ${UNLISTED} -e /bin/echo unlisted &`);
    await guests.type("hidden", `nc 127.0.0.1 ${UNLISTED} </dev/null`, /unlisted\r?\n/);
    await assert.rejects(
      fetch(`http://${podIP}:${UNLISTED}/`, { signal: AbortSignal.timeout(STATUS_MS) }),
      ({ cause }) => cause.code === "ECONNREFUSED",
    );
    assert.equal((await ask<Self>(podIP, "/")).hostname, "hidden");
  });

  it("is ready by the kubelet's probe, which asks at the pod's address", async () => {
    const pod = await until(guests.client, PODS, {
      namespace: guests.namespace,
      name: podName,
      what: "a pod that is ready",
      timeoutMs: STATUS_MS,
      when: (seen) =>
        seen?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true,
    });
    assert.equal(pod?.spec.containers[0]?.readinessProbe?.httpGet?.port, LISTED);
    await guests.untilVmi("hidden", "Ready", STATUS_MS, (vmi) => {
      return (
        vmi.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true
      );
    });
  });

  it("is reached by kubectl port-forward, and by the API server's proxy", async () => {
    const forward = interact("kubectl", ["port-forward", "-n", guests.namespace, podName, `:${LISTED}`], env);
    try {
      const [, port] = await forward.expect(/Forwarding from 127\.0\.0\.1:(\d+)/, STATUS_MS);
      assert.equal((await ask<Self>(`127.0.0.1:${port}`, "/")).hostname, "hidden");
    } finally {
      forward.kill();
      await forward.ended;
    }
    const proxy = `/api/v1/namespaces/${guests.namespace}/pods/${podName}:${LISTED}/proxy/`;
    assert.equal((JSON.parse(capture("kubectl", ["get", "--raw", proxy], env)) as Self).hostname, "hidden");
  });

  it("keeps its MAC address when it is stopped and started", async () => {
    const before = await macOf("hidden");
    const change = (runStrategy: string) =>
      guests.resource(VIRTUAL_MACHINES).patch("hidden", mergePatch({ spec: { runStrategy } }));
    await change("Halted");
    await guests.untilStatus("hidden", "Stopped", STATUS_MS);
    await change("Always");
    assert.equal(await macOf("hidden"), before);
  });
});
