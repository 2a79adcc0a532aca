/** The CustomResourceDefinitions of virtpod, made from the kinds' schemas. */
import { Type } from "typebox";
import { KUBEVIRT_GROUP, KUBEVIRT_VERSION } from "../names.ts";
import { object } from "../schema.ts";
import { virtualMachineSpecSchema, virtualMachineStatusSchema } from "../virtual-machine.ts";
import { virtualMachineInstanceSpecSchema } from "../virtual-machine-instance.ts";
import { virtualMachineInstanceStatusSchema } from "../virtual-machine-instance-status.ts";
import { structuralSchema } from "./structural-schema.ts";

interface PrinterColumn {
  readonly name: string;
  readonly type: "string" | "date" | "boolean" | "integer";
  readonly jsonPath: string;
  readonly description: string;
  /** Columns above 0 are shown by `kubectl get -o wide`. */
  readonly priority?: number;
}

interface Kind {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly description: string;
  readonly spec: object;
  readonly status: object;
  readonly columns: readonly PrinterColumn[];
}

const age: PrinterColumn = {
  name: "Age",
  type: "date",
  jsonPath: ".metadata.creationTimestamp",
  description: "Time since the object was made.",
};

function conditionColumn(name: string, condition: string, priority = 0): PrinterColumn {
  return {
    name,
    type: "string",
    jsonPath: `.status.conditions[?(@.type=='${condition}')].status`,
    description: `Status of the condition ${condition}.`,
    ...(priority === 0 ? {} : { priority }),
  };
}

const KINDS: readonly Kind[] = [
  {
    kind: "VirtualMachine",
    plural: "virtualmachines",
    singular: "virtualmachine",
    shortNames: ["vm", "vms"],
    description:
      "VirtualMachine is a virtual machine that outlives its shutdowns. While it is to run, a VirtualMachineInstance of the same name runs it.",
    spec: virtualMachineSpecSchema,
    status: virtualMachineStatusSchema,
    columns: [
      age,
      {
        name: "Status",
        type: "string",
        jsonPath: ".status.printableStatus",
        description: "The VM's state in one word.",
      },
      conditionColumn("Ready", "Ready"),
    ],
  },
  {
    kind: "VirtualMachineInstance",
    plural: "virtualmachineinstances",
    singular: "virtualmachineinstance",
    shortNames: ["vmi", "vmis"],
    description:
      "VirtualMachineInstance is one running virtual machine, in one launcher pod. Its spec doesn't change while it runs.",
    spec: virtualMachineInstanceSpecSchema,
    status: virtualMachineInstanceStatusSchema,
    columns: [
      age,
      { name: "Phase", type: "string", jsonPath: ".status.phase", description: "The VMI's phase." },
      {
        name: "IP",
        type: "string",
        jsonPath: ".status.interfaces[0].ipAddress",
        description: "First address of the first interface.",
      },
      {
        name: "NodeName",
        type: "string",
        jsonPath: ".status.nodeName",
        description: "Node that the VMI runs on.",
      },
      conditionColumn("Ready", "Ready"),
      conditionColumn("Live-Migratable", "LiveMigratable", 1),
      conditionColumn("Paused", "Paused", 1),
    ],
  },
];

/** A CRD and the name of its file. */
export interface CrdFile {
  readonly fileName: string;
  readonly definition: object;
}

export function crdFiles(): readonly CrdFile[] {
  return KINDS.map((kind) => ({
    fileName: `${KUBEVIRT_GROUP}_${kind.plural}.yaml`,
    definition: customResourceDefinition(kind),
  }));
}

function customResourceDefinition(kind: Kind): object {
  const { plural, singular, shortNames } = kind;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${KUBEVIRT_GROUP}`,
      labels: { "app.kubernetes.io/part-of": "virtpod" },
      // With a CRD go all its objects: helm uninstall must not take a VM.
      annotations: { "helm.sh/resource-policy": "keep" },
    },
    spec: {
      group: KUBEVIRT_GROUP,
      scope: "Namespaced",
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural,
        singular,
        shortNames,
        categories: ["all"],
      },
      versions: [
        {
          name: KUBEVIRT_VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: kind.columns,
          schema: { openAPIV3Schema: structuralSchema(kindSchema(kind)) },
        },
      ],
    },
  };
}

function kindSchema({ description, spec, status }: Kind): object {
  return object(
    {
      apiVersion: Type.Optional(
        Type.String({ maxLength: 64, description: "Version of the schema: kubevirt.io/v1." }),
      ),
      kind: Type.Optional(Type.String({ maxLength: 64, description: "Kind of the object." })),
      metadata: Type.Optional(Type.Unsafe<object>({ type: "object" })), // The API server knows the rest.
      spec: Type.Unsafe<object>(spec),
      status: Type.Optional(Type.Unsafe<object>(status)),
    },
    { description },
  );
}
