import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AccessCredentialsStatus } from "../../api/guest-agent.ts";
import { guestAgentConditions } from "./guest-agent.ts";
import { instance } from "./instance.fixture.ts";
import { transitionEvents } from "./transition-events.ts";

function statusOf(accessCredentials?: AccessCredentialsStatus) {
  const told = { phase: "running", interfaces: [], timeline: { launcherStarted: "" } } as const;
  const conditions = guestAgentConditions({
    ...told,
    ...(accessCredentials === undefined ? {} : { accessCredentials }),
  });
  return { phase: "Running" as const, conditions };
}

const events = (before?: AccessCredentialsStatus, after?: AccessCredentialsStatus) =>
  transitionEvents({ ...instance(), status: statusOf(before) }, statusOf(after)).map(
    ({ type, reason, message }) => `${type} ${reason}: ${message}`,
  );

describe("access credentials", () => {
  const waiting = { synchronized: false, message: "the guest agent is not connected" };
  const failed = { synchronized: false, message: "there is no user jane" };
  const done = { synchronized: true, message: "" };

  it("that wait for the agent are no event, nor are those that stay as they are", () => {
    assert.deepEqual([events(undefined, waiting), events(failed, failed), events(done, done)].flat(), []);
  });

  it("that are set are an event, and so is each way in which they are not", () => {
    const success = "Normal AccessCredentialsSyncSuccess: The guest has its access credentials";
    const warning = "Warning AccessCredentialsSyncFailed: there is no user jane";
    assert.deepEqual([events(waiting, done), events(undefined, done)].flat(), [success, success]);
    assert.deepEqual([events(waiting, failed), events(done, failed)].flat(), [warning, warning]);
  });
});
