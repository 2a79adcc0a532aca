/** VirtualMachine (vm): the machine its owner wants, over all its incarnations. */
import { Type } from "typebox";
import { conditionsSchema } from "./condition.ts";
import type { ObjectMeta } from "./object-meta.ts";
import { choice, type Data, later, list, never, object, stringMap, time } from "./schema.ts";
import { virtualMachineInstanceSpecSchema } from "./virtual-machine-instance.ts";

const templateSchema = object(
  {
    metadata: Type.Optional(
      object(
        {
          labels: Type.Optional(stringMap({ description: "Labels of the VMI and of its launcher pod." })),
          annotations: Type.Optional(
            stringMap({
              description:
                "Annotations of the VMI and of its launcher pod. KubeVirt's hooks.kubevirt.io/hookSidecars and kubevirt.io/ignitiondata are refused, in a VMI too.",
            }),
          ),
        },
        {
          description: "Metadata of the VMI. Its name and namespace are the VM's.",
          refused: {
            name: later("string", "the VMI has the VM's name"),
            generateName: later("string", "the VMI has the VM's name"),
            namespace: later("string", "the VMI lives in the VM's namespace"),
            // Tools write null here, which the API server drops.
            creationTimestamp: never("string", "the API server sets it"),
            finalizers: later("strings"),
            ownerReferences: later("array"),
          },
        },
      ),
    ),
    spec: virtualMachineInstanceSpecSchema,
  },
  { description: "What each VMI of this VM is made from. A change takes effect at the next start." },
);

export const runStrategySchema = choice(["Always", "RerunOnFailure", "Manual", "Once", "Halted"], {
  description:
    "Always: a VMI runs, and is started again when it ends. RerunOnFailure: likewise, but not once the guest has powered off. Manual: one runs from a requested start to a requested stop or its own end. Once: one is started, and never again. Halted: none runs.",
  refused: ["WaitAsReceiver"],
});

export type RunStrategy = Data<typeof runStrategySchema>;

export const virtualMachineSpecSchema = object(
  {
    running: Type.Optional(
      Type.Boolean({
        description: "Older form of runStrategy: true is Always, false is Halted. Not beside runStrategy.",
      }),
    ),
    runStrategy: Type.Optional(runStrategySchema),
    template: templateSchema,
  },
  {
    description: "What is asked of the virtual machine.",
    refused: {
      instancetype: later("object"),
      preference: later("object"),
      dataVolumeTemplates: later("array"),
      updateVolumesStrategy: later("string"),
    },
    rules: [
      {
        rule: "!(has(self.running) && has(self.runStrategy))",
        message: "running and runStrategy exclude each other: remove running",
        fieldPath: ".running",
      },
      {
        rule: "has(self.running) || has(self.runStrategy)",
        message: "runStrategy is missing: set Always, RerunOnFailure, Manual, Once or Halted",
        reason: "FieldValueRequired",
      },
    ],
  },
);

export type VirtualMachineSpec = Data<typeof virtualMachineSpecSchema>;

export const printableStatusSchema = choice(
  [
    "Stopped",
    "Provisioning",
    "Starting",
    "Running",
    "Paused",
    "Stopping",
    "Terminating",
    "CrashLoopBackOff",
    "Unknown",
    "ErrorUnschedulable",
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrorPvcNotFound",
    "WaitingForVolumeBinding",
  ],
  { description: "The state of the VM in one word, for people." },
);

export type PrintableStatus = Data<typeof printableStatusSchema>;

/** Condition types of a VM that virtpod writes, beside those it copies from the VMI. */
export const VM_CONDITIONS = {
  ready: "Ready",
  paused: "Paused",
  /** The VMI or its pod could not be made; the message says why. */
  failure: "Failure",
  /** The template has changed since the VMI was started. */
  restartRequired: "RestartRequired",
  /** The guest has ended and its run strategy does not start it again; goes with the next start. */
  completed: "Completed",
} as const;

const startFailureSchema = object(
  {
    consecutiveFailCount: Type.Optional(
      Type.Integer({ format: "int32", description: "Starts that failed in a row." }),
    ),
    lastFailedVMIUID: Type.Optional(
      Type.String({ maxLength: 64, description: "UID of the VMI that failed last." }),
    ),
    retryAfterTimestamp: Type.Optional(time("When the next start is tried.")),
  },
  { description: "Set while starts keep failing." },
);

const stateChangeRequestSchema = object({
  action: choice(["Start", "Stop"], { description: "What is asked for." }),
  data: Type.Optional(stringMap({ description: "Options of the request." })),
  uid: Type.Optional(Type.String({ maxLength: 64, description: "UID of the VMI to stop." })),
});

export const virtualMachineStatusSchema = object(
  {
    created: Type.Optional(Type.Boolean({ description: "The VM's VMI exists." })),
    ready: Type.Optional(Type.Boolean({ description: "The VM's VMI is ready." })),
    printableStatus: Type.Optional(printableStatusSchema),
    conditions: Type.Optional(conditionsSchema),
    runStrategy: Type.Optional(runStrategySchema),
    observedGeneration: Type.Optional(
      Type.Integer({
        format: "int64",
        description: "Generation of the spec that the running VMI was made from.",
      }),
    ),
    desiredGeneration: Type.Optional(
      Type.Integer({ format: "int64", description: "Generation of the spec that the operator has seen." }),
    ),
    startFailure: Type.Optional(startFailureSchema),
    stateChangeRequests: Type.Optional(
      list(stateChangeRequestSchema, {
        maxItems: 8,
        description: "Starts and stops that wait to be carried out.",
      }),
    ),
  },
  { description: "What the operator has seen of the VM." },
);

export type VirtualMachineStatus = Data<typeof virtualMachineStatusSchema>;

export interface VirtualMachine {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
  readonly spec: VirtualMachineSpec;
  readonly status?: VirtualMachineStatus;
}
