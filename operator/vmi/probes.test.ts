import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import { instance } from "./instance.fixture.ts";
import { probesOf } from "./probes.ts";

const { probe } = LAUNCHER_PATHS;

describe("a launcher's probes", () => {
  it("that go over the network are the guest's, word for word", () => {
    const readinessProbe = { httpGet: { port: 80, path: "/" }, periodSeconds: 2, failureThreshold: 5 };
    const livenessProbe = { tcpSocket: { port: 22 }, initialDelaySeconds: 60 };
    assert.deepEqual(probesOf(instance({ readinessProbe, livenessProbe }).spec), {
      readinessProbe,
      livenessProbe,
    });
    assert.deepEqual(probesOf(instance().spec), {});
  });

  it("that need the guest agent ask the launcher for it, with the time that they have", () => {
    const exec = { command: ["/bin/sh", "-c", "exit $(cat /tmp/code)"] };
    const { readinessProbe, livenessProbe } = probesOf(
      instance({
        readinessProbe: { exec, timeoutSeconds: 4, periodSeconds: 3 },
        livenessProbe: { guestAgentPing: {}, failureThreshold: 2 },
      }).spec,
    );
    assert.deepEqual(readinessProbe, {
      exec: { command: [probe, "readiness", "4", "exec", ...exec.command] },
      timeoutSeconds: 4,
      periodSeconds: 3,
    });
    assert.deepEqual(livenessProbe, {
      exec: { command: [probe, "liveness", "1", "ping"] },
      failureThreshold: 2,
    });
  });
});
