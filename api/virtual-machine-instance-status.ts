/** `status` of a VirtualMachineInstance. The operator is its only writer. */
import { Type } from "typebox";
import { conditionsSchema } from "./condition.ts";
import { choice, type Data, list, object, quantity, stringMap, time } from "./schema.ts";

export const phaseSchema = choice(
  ["Pending", "Scheduling", "Scheduled", "Running", "Succeeded", "Failed", "Unknown"],
  {
    description:
      "Pending: no pod yet. Scheduling: the pod waits for a node. Scheduled: the pod is on its node. Running: the domain runs. Succeeded: the guest powered off. Failed: the domain or its pod ended otherwise. Unknown: the node doesn't answer.",
  },
);

export type VirtualMachineInstancePhase = Data<typeof phaseSchema>;

/** Condition types of a VMI that virtpod writes. */
export const VMI_CONDITIONS = {
  /** The guest runs and its pod is ready. */
  ready: "Ready",
  /** The guest is paused; the reason says by whom. */
  paused: "Paused",
  /** False where virtpod could not do what the spec asks for; the message says what. */
  synchronized: "Synchronized",
  /** The guest agent has its channel open. */
  agentConnected: "AgentConnected",
  /** The guest agent can't do all that is asked of it; the message names what. */
  agentVersionNotSupported: "AgentVersionNotSupported",
  /** Whether the guest has the keys and passwords that its agent is to set. */
  accessCredentialsSynchronized: "AccessCredentialsSynchronized",
  /** True while a claim of the VMI's has no volume yet. */
  provisioning: "Provisioning",
  liveMigratable: "LiveMigratable",
  /** False while the pod has addresses that nothing hands to the guest; the message names them. */
  addressesHandedOver: "AddressesHandedOver",
  /** Copied from the pod while it can't be scheduled. */
  podScheduled: "PodScheduled",
  /** False while virtpod's agent on the node is away; absent otherwise. */
  nodeAgentReady: "NodeAgentReady",
  /** True while somebody clears the guest off its node; the reason says who. */
  evictionRequested: "EvictionRequested",
} as const;

const text = (description: string, maxLength = 1024) => Type.String({ maxLength, description });
const textOptional = (description: string, maxLength = 1024) => Type.Optional(text(description, maxLength));

const interfaceStatusSchema = object({
  name: textOptional("Name of the interface in the spec."),
  ipAddress: textOptional("First address of the guest."),
  ipAddresses: Type.Optional(
    list(text("Address."), { maxItems: 64, description: "Addresses of the guest." }),
  ),
  mac: textOptional("MAC address of the guest."),
  interfaceName: textOptional("Name of the interface inside the guest, as the guest agent tells."),
  podInterfaceName: textOptional("Name of the pod's interface behind it."),
  infoSource: textOptional("Who told it: domain, guest-agent, multus-status."),
  queueCount: Type.Optional(Type.Integer({ format: "int32", description: "Number of queue pairs." })),
  linkState: textOptional("up or down."),
});

export type InterfaceStatus = Data<typeof interfaceStatusSchema>;

const phaseTransitionSchema = object({
  phase: Type.Optional(phaseSchema),
  phaseTransitionTimestamp: Type.Optional(time("When the phase was entered.")),
});

const guestOSInfoSchema = object(
  {
    name: textOptional("Name of the operating system."),
    kernelRelease: textOptional("Kernel release."),
    version: textOptional("Version of the operating system."),
    prettyName: textOptional("Name and version."),
    versionId: textOptional("Version ID."),
    kernelVersion: textOptional("Kernel version."),
    machine: textOptional("Machine, e.g. x86_64."),
    id: textOptional("ID of the operating system."),
  },
  { description: "What the guest agent tells of the guest. Empty without a guest agent." },
);

const topologySchema = object(
  {
    cores: Type.Optional(Type.Integer({ format: "int64", description: "Cores per socket." })),
    sockets: Type.Optional(Type.Integer({ format: "int64", description: "Sockets." })),
    threads: Type.Optional(Type.Integer({ format: "int64", description: "Threads per core." })),
  },
  { description: "The guest's vCPUs." },
);

const memoryStatusSchema = object(
  {
    guestAtBoot: Type.Optional(quantity("Memory that the guest booted with, in bytes.")),
    guestCurrent: Type.Optional(quantity("Memory that the guest has now, in bytes.")),
    guestRequested: Type.Optional(quantity("Memory that the spec asks for, in bytes.")),
    memoryOverhead: Type.Optional(
      quantity("Memory requested for the launcher beside the guest's, in bytes."),
    ),
  },
  { description: "The guest's memory." },
);

export const virtualMachineInstanceStatusSchema = object(
  {
    phase: Type.Optional(phaseSchema),
    reason: textOptional("One word on why the VMI is in its phase."),
    nodeName: textOptional("Node that the VMI runs on.", 253),
    conditions: Type.Optional(conditionsSchema),
    phaseTransitionTimestamps: Type.Optional(
      list(phaseTransitionSchema, {
        maxItems: 64,
        description: "When each phase was entered, oldest first.",
      }),
    ),
    interfaces: Type.Optional(
      list(interfaceStatusSchema, {
        maxItems: 64,
        description: "The guest's interfaces, in the spec's order.",
      }),
    ),
    guestOSInfo: Type.Optional(guestOSInfoSchema),
    fsFreezeStatus: textOptional("frozen while the guest's file systems take no writes; absent otherwise."),
    activePods: Type.Optional(stringMap({ description: "UID of each launcher pod, and its node." })),
    launcherContainerImageVersion: textOptional("Image of the launcher."),
    machine: Type.Optional(
      object(
        { type: text("Machine type that libvirt chose, e.g. pc-q35-10.0.") },
        { description: "The machine." },
      ),
    ),
    currentCPUTopology: Type.Optional(topologySchema),
    memory: Type.Optional(memoryStatusSchema),
    migrationMethod: textOptional("How the VMI could be migrated."),
    migrationTransport: textOptional("What a migration would go over."),
    qosClass: Type.Optional(
      choice(["Guaranteed", "Burstable", "BestEffort"], { description: "QoS class of the pod." }),
    ),
    runtimeUser: Type.Optional(Type.Integer({ format: "int64", description: "uid that the guest runs as." })),
    selinuxContext: textOptional("SELinux context of the launcher."),
    evacuationNodeName: textOptional(
      "Node that the VMI is to leave, for whoever moves guests with the evictionStrategy External.",
      253,
    ),
    virtualMachineRevisionName: textOptional("ControllerRevision that the VMI was started from."),
  },
  { description: "What the operator has seen of the VMI." },
);

export type VirtualMachineInstanceStatus = Data<typeof virtualMachineInstanceStatusSchema>;
