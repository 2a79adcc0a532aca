/** Dedicated CPUs for validation.cluster.test.ts. */
import { type Change, DOMAIN, type Refused } from "./validation.fixture.ts";

const CPU = [...DOMAIN, "cpu"] as const;
const RESOURCES = [...DOMAIN, "resources"] as const;
const AT = "spec.template.spec.domain";

const dedicated = (cpu: object, resources?: object): readonly Change[] => [
  [CPU, { dedicatedCpuPlacement: true, ...cpu }],
  [RESOURCES, resources],
];

export const acceptedDedicated: Readonly<Record<string, readonly Change[]>> = {
  "CPUs of its own": dedicated({ cores: 2, threads: 2 }),
  "CPUs of its own with an emulator's": dedicated({ isolateEmulatorThread: true, burst: { policy: "none" } }),
  "as many CPUs as vCPUs": dedicated({ sockets: 2 }, { limits: { cpu: "2000m" }, requests: { cpu: 2 } }),
  "as many CPUs of its own as the limit": dedicated({}, { limits: { cpu: "3000m", memory: "1Gi" } }),
};

export const refusedDedicated: readonly Refused[] = [
  [
    "fewer CPUs of its own than vCPUs",
    dedicated({ cores: 2 }, { limits: { cpu: 1 } }),
    `${AT}.resources.limits.cpu`,
    /set limits.cpu to the number of vCPUs/,
  ],
  [
    "a request for more CPUs of its own than vCPUs",
    dedicated({ cores: 2 }, { requests: { cpu: 3 } }),
    `${AT}.resources.requests.cpu`,
    /set requests.cpu to the number of vCPUs/,
  ],
  [
    "a part of a CPU of its own",
    dedicated({}, { limits: { cpu: "1500m" } }),
    `${AT}.resources.limits.cpu`,
    /a whole CPU to each vCPU/,
  ],
  [
    "no CPU of its own",
    dedicated({}, { limits: { cpu: 0 } }),
    `${AT}.resources.limits.cpu`,
    /a whole CPU to each vCPU/,
  ],
  [
    "fewer CPUs of its own requested than limited",
    dedicated({}, { limits: { cpu: 2 }, requests: { cpu: 1 } }),
    `${AT}.resources.requests.cpu`,
    /must equal limits.cpu/,
  ],
  [
    "CPUs of its own with less memory requested than limited",
    dedicated({}, { limits: { memory: "1Gi" }, requests: { memory: "512Mi" } }),
    `${AT}.resources.requests.memory`,
    /must equal limits.memory/,
  ],
  [
    "CPUs of its own with less memory requested than the guest has",
    dedicated({}, { requests: { memory: "64Mi" } }),
    `${AT}.resources.requests.memory`,
    /must not be below memory.guest/,
  ],
  [
    "CPUs of its own with overcommitted overhead",
    dedicated({}, { overcommitGuestOverhead: true }),
    `${AT}.resources.overcommitGuestOverhead`,
    /remove overcommitGuestOverhead/,
  ],
  [
    "CPUs of its own that burst",
    dedicated({ cores: 1, burst: { policy: "auto" } }, { limits: { cpu: 1 } }),
    `${AT}.cpu.burst`,
    /dedicated CPUs have no limit/,
  ],
  [
    "an emulator's CPU without CPUs of its own",
    [[CPU, { isolateEmulatorThread: true }]],
    `${AT}.cpu.isolateEmulatorThread`,
    /needs dedicatedCpuPlacement/,
  ],
];
