/** CPU burst and resources for validation.cluster.test.ts. */
import { type Change, DOMAIN, type Refused } from "./validation.fixture.ts";

const BURST = [...DOMAIN, "cpu", "burst"] as const;
const RESOURCES = [...DOMAIN, "resources"] as const;
const HUGEPAGES = [...DOMAIN, "memory", "hugepages"] as const;
const AT = "spec.template.spec.domain.cpu.burst";

export const acceptedCpu: Readonly<Record<string, readonly Change[]>> = {
  "a burst with all there is": [
    [BURST, { policy: "auto", percent: 1, quotaPercent: 100, quotaPeriodSeconds: -1 }],
  ],
  "a burst percent of Koordinator's": [[BURST, { percent: 1000 }]],
  "policy none without a limit": [
    [BURST, { policy: "none" }],
    [[...RESOURCES, "limits", "cpu"], undefined],
  ],
  "huge pages": [[[...HUGEPAGES, "pageSize"], "2Mi"]],
  "huge pages for memory with a fraction": [
    [[...HUGEPAGES, "pageSize"], "2Mi"],
    [[...DOMAIN, "memory", "guest"], "1.5Gi"],
    [[...RESOURCES, "requests", "memory"], undefined],
    [[...RESOURCES, "limits", "memory"], undefined],
  ],
  "huge pages by request alone": [
    [[...DOMAIN, "memory"], { hugepages: { pageSize: "1Gi" } }],
    [[...RESOURCES, "requests", "memory"], "1Gi"],
  ],
  "overcommitted overhead": [[[...RESOURCES, "overcommitGuestOverhead"], true]],
};

export const refusedCpu: readonly Refused[] = [
  ["burst percent 0", [[BURST, { percent: 0 }]], `${AT}.percent`, /greater than or equal to 1/],
  ["a negative burst percent", [[BURST, { percent: -100 }]], `${AT}.percent`, /greater than or equal to 1/],
  ["burst percent as text", [[BURST, { percent: "100" }]], `${AT}.percent`, /must be of type integer/],
  ["burst percent 10001", [[BURST, { percent: 10_001 }]], `${AT}.percent`, /less than or equal to 10000/],
  ["an unknown policy", [[BURST, { policy: "always" }]], `${AT}.policy`, /Unsupported value/],
  [
    "a quota below the limit",
    [[BURST, { quotaPercent: 99 }]],
    `${AT}.quotaPercent`,
    /greater than or equal to 100/,
  ],
  [
    "a period of less than for ever",
    [[BURST, { quotaPeriodSeconds: -2 }]],
    `${AT}.quotaPeriodSeconds`,
    /greater than or equal to -1/,
  ],
  [
    "burst above no limit",
    [
      [BURST, { policy: "auto" }],
      [[...RESOURCES, "limits", "cpu"], undefined],
    ],
    AT,
    /burst needs a CPU limit/,
  ],
  [
    "huge pages of no size",
    [[HUGEPAGES, {}]],
    "spec.template.spec.domain.memory.hugepages.pageSize",
    /Required value/,
  ],
  [
    "huge pages of a size that no processor has",
    [[[...HUGEPAGES, "pageSize"], "4Mi"]],
    "spec.template.spec.domain.memory.hugepages.pageSize",
    /Unsupported value/,
  ],
  [
    "a guest of less than a huge page",
    [[[...HUGEPAGES, "pageSize"], "1Gi"]],
    "spec.template.spec.domain.memory.hugepages.pageSize",
    /must be a multiple of hugepages.pageSize/,
  ],
  [
    "a guest of no whole number of huge pages, by its request",
    [
      [[...DOMAIN, "memory"], { hugepages: { pageSize: "2Mi" } }],
      [[...RESOURCES, "requests", "memory"], "129Mi"],
    ],
    "spec.template.spec.domain.memory.hugepages.pageSize",
    /must be a multiple of hugepages.pageSize/,
  ],
  [
    "huge pages for a guest that may have less",
    [
      [[...HUGEPAGES, "pageSize"], "2Mi"],
      [[...RESOURCES, "requests", "memory"], "64Mi"],
    ],
    "spec.template.spec.domain.resources.requests.memory",
    /can't be overcommitted/,
  ],
];
