/** What the API server says to manifests, by the CRDs and the admission policies alone. Nothing is started. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parseAllDocuments } from "yaml";
import { crdFiles } from "../../api/crd/definitions.ts";
import { refusedFields } from "../../api/crd/refused-fields.ts";
import type { StructuralSchema } from "../../api/crd/structural-schema.ts";
import type { Client } from "../../kube/client.ts";
import { InvalidError, type StatusCause } from "../../kube/errors.ts";
import { mergePatch } from "../../kube/request.ts";
import { PODS } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { connectCluster, makeNamespace, ROOT, removeNamespace } from "../harness/cluster.ts";
import { accepted, changed, DOMAIN, machine, refused } from "./validation.fixture.ts";
import { acceptedCpu, refusedCpu } from "./validation-cpu.fixture.ts";
import { acceptedDedicated, refusedDedicated } from "./validation-dedicated.fixture.ts";
import { acceptedDhcp, refusedDhcp } from "./validation-dhcp.fixture.ts";
import { acceptedDisks, refusedByPolicy, refusedDisks, surroundings } from "./validation-disks.fixture.ts";
import { acceptedNetworks, refusedNetworks } from "./validation-network.fixture.ts";
import { acceptedProbes, refusedProbes } from "./validation-probes.fixture.ts";

const NAMESPACE = "default";

let client: Client;
before(async () => {
  client = await connectCluster();
});
after(() => client.close());

async function create(object: object): Promise<void> {
  const machines = client.resource(VIRTUAL_MACHINES).namespace(NAMESPACE);
  await machines.create(object as never, { dryRun: true, fieldValidation: "Strict" });
}

async function refusals(object: object): Promise<readonly StatusCause[]> {
  try {
    await create(object);
  } catch (error) {
    assert.ok(error instanceof InvalidError, String(error));
    return error.causes;
  }
  return assert.fail("the API server accepted it");
}

function assertNames(causes: readonly StatusCause[], field: string, words: RegExp): void {
  assert.ok(
    causes.some((cause) => cause.field === field && words.test(cause.message ?? "")),
    `no cause names ${field} with ${words}: ${JSON.stringify(causes)}`,
  );
}

describe("what virtpod supports is accepted", () => {
  it("a VM with one of everything", () => create(machine()));

  for (const example of readdirSync(join(ROOT, "examples"))) {
    it(`examples/${example}`, async () => {
      const documents = parseAllDocuments(await readFile(join(ROOT, "examples", example), "utf8"));
      const objects = documents.map((document) => document.toJS() as { kind: string });
      const [machine, ...others] = objects.filter(({ kind }) => kind === VIRTUAL_MACHINES.kind);
      assert.ok(machine !== undefined && others.length === 0);
      await create(machine);
    });
  }

  for (const [name, changes] of Object.entries({
    ...accepted,
    ...acceptedDisks,
    ...acceptedDhcp,
    ...acceptedNetworks,
    ...acceptedProbes,
    ...acceptedCpu,
    ...acceptedDedicated,
  }))
    it(name, () => create(changed(changes)));
});

describe("bad input is refused, and the field is named", () => {
  for (const [name, changes, field, words] of [
    ...refused,
    ...refusedDisks,
    ...refusedDhcp,
    ...refusedNetworks,
    ...refusedProbes,
    ...refusedCpu,
    ...refusedDedicated,
  ]) {
    it(name, async () => assertNames(await refusals(changed(changes)), field, words));
  }

  it("a field that nobody knows", async () => {
    await assert.rejects(
      create(changed([[[...DOMAIN, "cup"], {}]])),
      /unknown field "spec\.template\.spec\.domain\.cup"/,
    );
  });
});

describe("each field of KubeVirt's that virtpod doesn't serve is refused by name", () => {
  for (const { path, message, example } of refusedFields(schemaOf("VirtualMachine"))) {
    const field = path.join(".").replaceAll(".[]", "[0]");
    it(field, async () => {
      const place = path.map((segment) => (segment === "[]" ? 0 : segment));
      const causes = await refusals(changed([...surroundings(place), [place, example]]));
      assert.ok(
        causes.some((cause) => cause.field === field && cause.message?.includes(message) === true),
        JSON.stringify(causes),
      );
    });
  }
});

function schemaOf(kind: string): StructuralSchema {
  for (const { definition } of crdFiles()) {
    const { spec } = definition as {
      spec: { names: { kind: string }; versions: { schema: { openAPIV3Schema: StructuralSchema } }[] };
    };
    const schema = spec.versions[0]?.schema.openAPIV3Schema;
    if (spec.names.kind === kind && schema !== undefined) return schema;
  }
  throw new Error(`there is no CRD for ${kind}`);
}

describe("what depends on who asks", () => {
  let namespace: string;
  before(async () => {
    namespace = await makeNamespace(client, "policies");
  });
  after(() => removeNamespace(client, namespace));

  it("a user may create a VirtualMachineInstance and label it, but not change its spec", async () => {
    const { template } = (machine() as { spec: { template: { spec: object } } }).spec;
    // No node has this label, so nothing is started.
    const spec = { ...template.spec, nodeSelector: { "virtpod.io/nowhere": "true" } };
    const instances = client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(namespace);
    const draft = JSON.parse(JSON.stringify({ metadata: { name: "validation" }, spec })) as never;
    await instances.create(draft, { fieldValidation: "Strict" });

    await instances.patch("validation", mergePatch({ metadata: { labels: { colour: "blue" } } }));
    await assert.rejects(
      instances.patch("validation", mergePatch({ spec: { hostname: "other" } })),
      /spec of a running VirtualMachineInstance can't be changed/,
    );
    await assert.rejects(
      instances.patch(
        "validation",
        mergePatch({ metadata: { annotations: { "kubevirt.io/vm-generation": "7" } } }),
      ),
      /are virtpod's own/,
    );
    await instances.delete("validation");
  });

  it("nobody writes a volume or an annotation that the installation doesn't allow", async () => {
    for (const [change, words] of refusedByPolicy) await assert.rejects(create(changed([change])), words);
  });

  it("nobody but the operator creates a pod that looks like a launcher", async () => {
    const pod = (labels: Record<string, string>) =>
      client
        .resource(PODS)
        .namespace(namespace)
        .create(
          {
            metadata: { name: "lookalike", labels },
            spec: {
              securityContext: {
                runAsNonRoot: true,
                runAsUser: 1000,
                seccompProfile: { type: "RuntimeDefault" },
              },
              containers: [
                {
                  name: "one",
                  image: "example.com/one:1",
                  securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
                },
              ],
            },
          } as never,
          { dryRun: true },
        );
    await pod({ app: "other" });
    await assert.rejects(pod({ "kubevirt.io": "virt-launcher" }), /only virtpod creates launcher pods/);
  });
});
