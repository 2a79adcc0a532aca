/** readinessProbe and livenessProbe for validation.cluster.test.ts. */
import type { Change } from "./validation.fixture.ts";

const SPEC = ["spec", "template", "spec"] as const;
const READINESS = [...SPEC, "readinessProbe"] as const;
const LIVENESS = [...SPEC, "livenessProbe"] as const;

export const acceptedProbes: Readonly<Record<string, readonly Change[]>> = {
  "probes with all there is": [
    [
      READINESS,
      {
        httpGet: {
          port: "web",
          path: "/healthy",
          scheme: "HTTPS",
          httpHeaders: [{ name: "X-A", value: "" }],
        },
        initialDelaySeconds: 0,
        timeoutSeconds: 2,
        periodSeconds: 1,
        successThreshold: 3,
        failureThreshold: 1,
      },
    ],
    [LIVENESS, { tcpSocket: { port: 22 }, initialDelaySeconds: 120, successThreshold: 1 }],
  ],
  "probes through the guest agent": [
    [READINESS, { exec: { command: ["/bin/cat", "/tmp/healthy"] }, timeoutSeconds: 3 }],
    [LIVENESS, { guestAgentPing: {} }],
  ],
};

export const refusedProbes: readonly (readonly [string, readonly Change[], string, RegExp])[] = [
  [
    "a probe that asks nothing",
    [[READINESS, { periodSeconds: 1 }]],
    "spec.template.spec.readinessProbe",
    /one of httpGet, tcpSocket, exec and guestAgentPing/,
  ],
  [
    "a probe whose command is empty",
    [[READINESS, { exec: { command: [] } }]],
    "spec.template.spec.readinessProbe.exec.command",
    /at least 1 items/,
  ],
  [
    "a probe that asks twice",
    [[LIVENESS, { httpGet: { port: 80 }, tcpSocket: { port: 80 } }]],
    "spec.template.spec.livenessProbe",
    /one of httpGet, tcpSocket, exec and guestAgentPing/,
  ],
  [
    "a probe without a port",
    [[READINESS, { httpGet: { path: "/" } }]],
    "spec.template.spec.readinessProbe.httpGet.port",
    /Required/,
  ],
  [
    "a livenessProbe that has to succeed twice",
    [[LIVENESS, { tcpSocket: { port: 80 }, successThreshold: 2 }]],
    "spec.template.spec.livenessProbe.successThreshold",
    /less than or equal to 1/,
  ],
  [
    "a probe each 0 seconds",
    [[READINESS, { tcpSocket: { port: 80 }, periodSeconds: 0 }]],
    "spec.template.spec.readinessProbe.periodSeconds",
    /greater than or equal to 1/,
  ],
];
