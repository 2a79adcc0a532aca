/**
 * The place where the suites play: the cluster's own operator is scaled away, and operators that run here, behind the
 * fault proxy, take its place: same service account and so the same rights, same lease, same Services, same agents.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "../../kube/client.ts";
import { loadConfig } from "../../kube/connect.ts";
import { ignoreNotFound } from "../../kube/errors.ts";
import { ENDPOINT_SLICES, NODES } from "../../kube/resources.ts";
import { connectCluster, kubeconfigPath, makeNamespace, removeNamespace } from "../harness/cluster.ts";
import { clearing } from "../harness/interrupts.ts";
import { SYSTEM, untilServed } from "../harness/system.ts";
import { PROXY_NAME, proxyCertificate } from "./certificate.ts";
import { freeLease, type OperatorContainer, scaleAway, scaleBack } from "./cluster-operator.ts";
import {
  type ClusterNode,
  hostAddress,
  makeNetwork,
  type OperatorNetwork,
  removeNetwork,
} from "./network.ts";
import { OperatorProcess } from "./operator-process.ts";
import { FaultProxy } from "./proxy.ts";

const OPERATORS = 2;
/** Longer than anybody soaks: the operators have it in a file that is written once. */
const TOKEN_SECONDS = 24 * 3600;
const SERVICES = [
  { service: "virtpod-operator", port: { name: "https", port: 8443 } },
  { service: "virtpod-uplink", port: { name: "uplink", port: 8445 } },
];

interface Parts {
  readonly client: Client;
  readonly proxy: FaultProxy;
  readonly namespace: string;
  readonly node: ClusterNode;
  readonly networks: readonly OperatorNetwork[];
  /** Of the program and its files. */
  readonly directory: string;
  readonly container: OperatorContainer;
}

export class Stage {
  readonly client: Client;
  readonly proxy: FaultProxy;
  /** Of the VMs. */
  readonly namespace: string;
  readonly #parts: Parts;
  readonly #operators = new Set<OperatorProcess>();
  /** The cluster gets its operator back even so. */
  readonly #clearing = clearing(() => this.#clear());

  private constructor(parts: Parts) {
    this.client = parts.client;
    this.proxy = parts.proxy;
    this.namespace = parts.namespace;
    this.#parts = parts;
  }

  static async set(): Promise<Stage> {
    const client = await connectCluster();
    const node = await clusterNode(client);
    const directory = await mkdtemp(join(tmpdir(), "virtpod-faults-"));
    let proxy: FaultProxy | undefined;
    try {
      const { flags, environment } = await scaleAway(client, join(directory, "operator.mjs"));
      const networks = Array.from({ length: OPERATORS }, (_, index) => makeNetwork(index, node));
      await makeEndpoints(client, networks);
      const { server, tls } = await loadConfig({ environment: process.env, kubeconfig: kubeconfigPath() });
      const { ca, certificate } = await proxyCertificate();
      const host = hostAddress(node.address);
      proxy = await FaultProxy.start({ host, server, ca: tls.ca ?? "", certificate });
      const kubeconfig = kubeconfigOf({ server: proxy.url, ca, token: await operatorToken(client) });
      await writeFile(join(directory, "kubeconfig"), kubeconfig, { mode: 0o600 });
      return new Stage({
        client,
        proxy,
        node,
        networks,
        directory,
        namespace: await makeNamespace(client, "faults"),
        container: {
          flags,
          environment: {
            ...environment,
            POD_NAMESPACE: SYSTEM,
            KUBECONFIG: join(directory, "kubeconfig"),
            // It is compiled once for all the restarts.
            NODE_COMPILE_CACHE: join(directory, "compiled"),
          },
        },
      });
    } catch (error) {
      await proxy?.close();
      await rm(directory, { recursive: true });
      await clear(client, node);
      await client.close();
      throw error;
    }
  }

  /** Ends whatever runs and gives the cluster its operator back. */
  async strike(): Promise<void> {
    await this.#clearing[Symbol.asyncDispose]();
  }

  async #clear(): Promise<void> {
    await Promise.all([...this.#operators].map((operator) => operator.kill()));
    await this.proxy.close();
    await freeLease(this.client);
    await clear(this.client, this.#parts.node);
    await removeNamespace(this.client, this.namespace);
    await rm(this.#parts.directory, { recursive: true });
    await this.client.close();
  }

  /** Starts an operator; the caller waits for what it needs of it. */
  start(index = 0): OperatorProcess {
    const network = this.#parts.networks[index];
    const { flags, environment } = this.#parts.container;
    if (network === undefined) throw new RangeError(`there is room for ${OPERATORS} operators only`);
    const operator = new OperatorProcess({
      network,
      program: join(this.#parts.directory, "operator.mjs"),
      flags,
      environment: {
        ...environment,
        POD_NAME: `operator-${index}-${randomBytes(2).toString("hex")}`,
      },
    });
    this.#operators.add(operator);
    void operator.ended.then(() => this.#operators.delete(operator));
    return operator;
  }

  /** What the other candidates would wait 15 s for after a leader was killed. */
  freeLease(): Promise<void> {
    return freeLease(this.client);
  }
}

async function clusterNode(client: Client): Promise<ClusterNode> {
  const { items } = await client.resource(NODES).list();
  const found = items.flatMap(({ metadata, status }) => {
    const address = status?.addresses?.find(({ type }) => type === "InternalIP")?.address;
    return address === undefined ? [] : [{ name: metadata.name ?? "", address }];
  });
  const [node] = found;
  if (node === undefined || found.length > 1)
    throw new Error(`the cluster has ${found.length} nodes, not one`);
  return node;
}

/** Undoes what `set` did, as far as it came. */
async function clear(client: Client, node: ClusterNode): Promise<void> {
  for (let index = 0; index < OPERATORS; index++) removeNetwork(index, node);
  const slices = client.resource(ENDPOINT_SLICES).namespace(SYSTEM);
  for (const { service } of SERVICES) await slices.delete(sliceName(service)).catch(ignoreNotFound);
  await scaleBack(client);
  await untilServed(client);
}

async function makeEndpoints(client: Client, networks: readonly OperatorNetwork[]): Promise<void> {
  const slices = client.resource(ENDPOINT_SLICES).namespace(SYSTEM);
  for (const { service, port } of SERVICES) {
    await slices.delete(sliceName(service)).catch(ignoreNotFound);
    await slices.create({
      metadata: {
        name: sliceName(service),
        labels: {
          "kubernetes.io/service-name": service,
          "endpointslice.kubernetes.io/managed-by": "virtpod-test",
        },
      },
      addressType: "IPv4",
      ports: [{ ...port, protocol: "TCP" }],
      endpoints: networks.map(({ address }) => ({ addresses: [address], conditions: { ready: true } })),
    });
  }
}

const sliceName = (service: string) => `${service}-faults`;

/** A token of the operator's own service account, so that its RBAC is what counts. */
async function operatorToken(client: Client): Promise<string> {
  const { status } = await client.request<{ status: { token: string } }>({
    method: "POST",
    path: `/api/v1/namespaces/${SYSTEM}/serviceaccounts/virtpod-operator/token`,
    action: "create a token of the operator's service account",
    body: {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { expirationSeconds: TOKEN_SECONDS },
    },
  });
  return status.token;
}

function kubeconfigOf({ server, ca, token }: { server: string; ca: string; token: string }): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "faults",
    clusters: [
      {
        name: "faults",
        cluster: {
          server,
          "tls-server-name": PROXY_NAME,
          "certificate-authority-data": Buffer.from(ca).toString("base64"),
        },
      },
    ],
    contexts: [{ name: "faults", context: { cluster: "faults", user: "operator" } }],
    users: [{ name: "operator", user: { token } }],
  });
}
