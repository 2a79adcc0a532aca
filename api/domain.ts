/** `spec.domain`: the virtual machine itself. */
import { Type } from "typebox";
import { cpuBurstSchema } from "./cpu-burst-schema.ts";
import { dedicatedCpuRules, dedicatedResourceRules } from "./dedicated-cpu.ts";
import { devicesSchema } from "./devices.ts";
import { MAX_VCPUS } from "./domain-statistics.ts";
import { firmwareSchema } from "./firmware.ts";
import { choice, type Data, later, laterUnless, object, quantity, type Rule } from "./schema.ts";

function count(description: string) {
  return Type.Integer({ minimum: 1, maximum: MAX_VCPUS, format: "int64", description });
}

const cpuSchema = object(
  {
    cores: Type.Optional(count("Cores per socket. Default: 1.")),
    sockets: Type.Optional(
      count(
        "Sockets. Default: 1; without cores, sockets and threads, resources.limits.cpu or requests.cpu, rounded up.",
      ),
    ),
    threads: Type.Optional(count("Threads per core. Default: 1.")),
    model: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        pattern: "^[A-Za-z0-9._-]+$",
        description:
          "host-model, host-passthrough or a libvirt CPU model. Default: host-model. Under software emulation the guest gets all that the emulator can do.",
      }),
    ),
    dedicatedCpuPlacement: Type.Optional(
      Type.Boolean({
        description:
          "Each vCPU has a CPU of the node to itself, which needs a kubelet with cpuManagerPolicy static. The launcher pod asks for so many whole CPUs, and for no more memory than it is limited to. Default: false.",
      }),
    ),
    isolateEmulatorThread: Type.Optional(
      Type.Boolean({
        description:
          "One dedicated CPU more, for qemu's other threads and all that runs beside qemu. Default: false.",
      }),
    ),
    burst: Type.Optional(cpuBurstSchema),
  },
  {
    description: "vCPUs: sockets × cores × threads.",
    refused: {
      maxSockets: later("integer", "vCPUs can't be hot-plugged"),
      features: later("array"),
      numa: later("object"),
      realtime: later("object"),
    },
    rules: [
      {
        rule:
          "(has(self.sockets) ? self.sockets : 1) * (has(self.cores) ? self.cores : 1) * " +
          `(has(self.threads) ? self.threads : 1) <= ${MAX_VCPUS}`,
        message: `sockets × cores × threads must be at most ${MAX_VCPUS}`,
      },
      ...dedicatedCpuRules,
    ],
  },
);

const hugepagesSchema = object(
  {
    pageSize: choice(["2Mi", "1Gi"], {
      description: "Size of each page. The guest's memory must be a multiple of it.",
    }),
  },
  {
    description:
      "All of the guest's memory is made of huge pages, which the node must have reserved. Its pod asks for hugepages-2Mi or hugepages-1Gi.",
  },
);

const memorySchema = object(
  {
    guest: Type.Optional(
      quantity(
        "Memory that the guest sees, in bytes, e.g. 1Gi. Default: resources.requests.memory, else resources.limits.memory.",
        [
          {
            rule: "quantity(string(self)).compareTo(quantity('1Mi')) >= 0",
            message: "guest must be at least 1Mi",
          },
        ],
      ),
    ),
    hugepages: Type.Optional(hugepagesSchema),
  },
  {
    description: "The guest's memory.",
    refused: {
      maxGuest: later("quantity", "memory can't be hot-plugged"),
      reservedOverhead: later("object"),
    },
  },
);

const resourceListSchema = (description: string) =>
  object(
    {
      cpu: Type.Optional(quantity("CPUs, e.g. 500m.")),
      memory: Type.Optional(quantity("Bytes, e.g. 1Gi. The launcher's own overhead comes on top.")),
      "ephemeral-storage": Type.Optional(
        quantity(
          "Bytes of the node's disk for emptyDisks, overlays and logs, e.g. 10Gi. The launcher's own overhead comes on top.",
        ),
      ),
    },
    { description, refused: { storage: later("quantity") } },
  );

function requestWithinLimit(resource: "cpu" | "memory" | "ephemeral-storage"): Rule {
  const field = resource.replace("-", "__dash__");
  const [request, limit] = [`self.requests.${field}`, `self.limits.${field}`];
  return {
    rule:
      `!has(self.requests) || !has(${request}) || !has(self.limits) || !has(${limit}) || ` +
      `quantity(string(${request})).compareTo(quantity(string(${limit}))) <= 0`,
    message: `requests.${resource} must not be above limits.${resource}`,
    // A path takes a name with a hyphen in brackets only.
    fieldPath: resource.includes("-") ? `.requests['${resource}']` : `.requests.${resource}`,
  };
}

const resourcesSchema = object(
  {
    requests: Type.Optional(resourceListSchema("What the node must have free.")),
    limits: Type.Optional(resourceListSchema("What the VM may use at most.")),
    overcommitGuestOverhead: Type.Optional(
      Type.Boolean({
        description:
          "The launcher's own overhead is not requested of the node; a memory limit still has it on top. Default: false.",
      }),
    ),
  },
  {
    description: "What the VM asks of its node. The launcher pod's resources are made from it.",
    rules: [requestWithinLimit("cpu"), requestWithinLimit("memory"), requestWithinLimit("ephemeral-storage")],
  },
);

const machineSchema = object(
  {
    type: Type.Optional(
      Type.String({
        maxLength: 64,
        pattern: "^(|q35|pc-q35-[0-9.]+)$",
        description: "q35, or a versioned type such as pc-q35-10.0. Default: q35, as when it is empty.",
      }),
    ),
  },
  { description: "qemu's machine type. Default: q35." },
);

/** Of a feature that each guest has. */
const alwaysOn = (description: string) =>
  Type.Optional(
    Type.Boolean({
      description,
      "x-kubernetes-validations": [
        {
          rule: "self",
          message: "enabled: false is not supported by virtpod yet",
          reason: "FieldValueForbidden",
        },
      ],
    }),
  );

const featuresSchema = object(
  {
    acpi: Type.Optional(
      object(
        {
          enabled: alwaysOn("Always true: a guest is shut down by ACPI."),
        },
        { description: "ACPI tables. Default: on." },
      ),
    ),
    apic: Type.Optional(
      object(
        {
          enabled: alwaysOn("Always true."),
        },
        {
          description: "The local interrupt controller of each vCPU. Default: on.",
          refused: { endOfInterrupt: laterUnless(false) },
        },
      ),
    ),
    smm: Type.Optional(
      object(
        {
          enabled: alwaysOn("Always true."),
        },
        { description: "System management mode, which secure boot needs. Default: on." },
      ),
    ),
  },
  {
    description: "Features of the processor and the firmware.",
    refused: {
      hyperv: later("object"),
      hypervPassthrough: later("object"),
      kvm: later("object"),
      pvspinlock: later("object"),
    },
  },
);

const guestMemory = "quantity(string(self.memory.guest))";
const hasRequest =
  "(has(self.resources) && has(self.resources.requests) && has(self.resources.requests.memory))";
const hasLimit = "(has(self.resources) && has(self.resources.limits) && has(self.resources.limits.memory))";
const hasHugepages = "(has(self.memory) && has(self.memory.hugepages))";
/** As guestMemoryBytes() of the operator's has it; another rule asks for one of them. */
const anyGuestMemory =
  `quantity(has(self.memory.guest) ? string(self.memory.guest) : ${hasRequest} ? ` +
  `string(self.resources.requests.memory) : ${hasLimit} ? string(self.resources.limits.memory) : '0')`;

export const domainSchema = object(
  {
    cpu: Type.Optional(cpuSchema),
    memory: Type.Optional(memorySchema),
    resources: Type.Optional(resourcesSchema),
    firmware: Type.Optional(firmwareSchema),
    machine: Type.Optional(machineSchema),
    features: Type.Optional(featuresSchema),
    devices: devicesSchema,
    ioThreadsPolicy: Type.Optional(
      choice(["shared", "auto"], {
        description:
          "Threads that serve virtio disks. shared: one for all. auto: one per disk, at most two per vCPU. A disk with dedicatedIOThread has one of its own beside them. Default: qemu's main thread, or shared where a disk has dedicatedIOThread.",
        refused: ["supplementalPool"],
      }),
    ),
  },
  {
    description: "The virtual machine: processor, memory, firmware, devices.",
    refused: {
      clock: later("object", "the guest's clock is UTC"),
      ioThreads: later("object"),
      chassis: later("object"),
      launchSecurity: later("object"),
      rebootPolicy: later("string"),
    },
    rules: [
      {
        rule:
          "(has(self.memory) && has(self.memory.guest)) || (has(self.resources) && " +
          "((has(self.resources.requests) && has(self.resources.requests.memory)) || " +
          "(has(self.resources.limits) && has(self.resources.limits.memory))))",
        message: "the guest needs memory: set memory.guest",
        fieldPath: ".memory",
        reason: "FieldValueRequired",
      },
      {
        rule:
          "!has(self.memory) || !has(self.memory.guest) || !has(self.resources) || !has(self.resources.limits) || " +
          `!has(self.resources.limits.memory) || ${guestMemory}.compareTo(quantity(string(self.resources.limits.memory))) <= 0`,
        message: "memory.guest must not be above resources.limits.memory",
        fieldPath: ".memory.guest",
      },
      {
        rule:
          // "1.5Gi" is no integer to CEL, whose approximation is off by less than half a byte.
          `!${hasHugepages} || int(${anyGuestMemory}.asApproximateFloat() + 0.5) % ` +
          "(self.memory.hugepages.pageSize == '1Gi' ? 1073741824 : 2097152) == 0",
        message: "the guest's memory must be a multiple of hugepages.pageSize",
        fieldPath: ".memory.hugepages.pageSize",
      },
      {
        rule:
          `!${hasHugepages} || !has(self.memory.guest) || !${hasRequest} || ` +
          `${guestMemory}.compareTo(quantity(string(self.resources.requests.memory))) <= 0`,
        message: "huge pages can't be overcommitted: requests.memory must not be below memory.guest",
        fieldPath: ".resources.requests.memory",
      },
      {
        rule:
          "!has(self.cpu) || !has(self.cpu.burst) || (has(self.cpu.burst.policy) && self.cpu.burst.policy == 'none') || " +
          "(has(self.resources) && has(self.resources.limits) && has(self.resources.limits.cpu))",
        message: "burst needs a CPU limit to burst above: set resources.limits.cpu",
        fieldPath: ".cpu.burst",
      },
      ...dedicatedResourceRules,
      {
        rule:
          "!has(self.firmware) || !has(self.firmware.bootloader) || !has(self.firmware.bootloader.efi) || " +
          "(has(self.firmware.bootloader.efi.secureBoot) && !self.firmware.bootloader.efi.secureBoot) || " +
          "(has(self.features) && has(self.features.smm))",
        message:
          "secureBoot, which is on by default, needs features.smm.enabled: true, or to be set to false",
        fieldPath: ".firmware.bootloader.efi",
      },
      {
        rule:
          "!has(self.firmware) || !has(self.firmware.bootloader) || !has(self.firmware.bootloader.bios) || " +
          "!has(self.firmware.bootloader.bios.useSerial) || !self.firmware.bootloader.bios.useSerial || " +
          "!has(self.devices.autoattachSerialConsole) || self.devices.autoattachSerialConsole",
        message: "useSerial needs the serial console: remove autoattachSerialConsole: false",
        fieldPath: ".firmware.bootloader.bios.useSerial",
      },
    ],
  },
);

export type Domain = Data<typeof domainSchema>;
export type Cpu = Data<typeof cpuSchema>;
export type Resources = Data<typeof resourcesSchema>;
