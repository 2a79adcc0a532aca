import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LaunchAccessCredential } from "../../api/launch-spec.ts";
import { agentCredentials, planCredentials } from "./credentials.ts";

const keys = (...users: string[]): LaunchAccessCredential => ({
  kind: "sshPublicKey",
  directory: "/keys",
  propagation: "qemuGuestAgent",
  users,
});
const PASSWORDS: LaunchAccessCredential = {
  kind: "userPassword",
  directory: "/passwords",
  propagation: "qemuGuestAgent",
};

describe("access credentials", () => {
  it("give each user the keys of all that name them, without comments and blank lines", () => {
    const plan = planCredentials(
      [keys("ann", "bob"), keys("bob")],
      [
        [
          { name: "one", text: "ssh-ed25519 A a\r\n\n# old\n" },
          { name: "two", text: "ssh-ed25519 B b" },
        ],
        [{ name: "one", text: " ssh-ed25519 C c \n" }],
      ],
    );
    assert.deepEqual(plan.keys, {
      ann: ["ssh-ed25519 A a", "ssh-ed25519 B b"],
      bob: ["ssh-ed25519 A a", "ssh-ed25519 B b", "ssh-ed25519 C c"],
    });
  });

  it("take a user's keys away when their Secret has none any more", () => {
    assert.deepEqual(planCredentials([keys("ann")], [[]]).keys, { ann: [] });
  });

  it("give each user that is named by a file its content as password, without the line's end", () => {
    const files = [
      { name: "ann", text: "pass word\n" },
      { name: "__proto__", text: "x" },
    ];
    const { passwords } = planCredentials([PASSWORDS], [files]);
    assert.deepEqual(Object.entries(passwords), [
      ["ann", "pass word"],
      ["__proto__", "x"],
    ]);
  });

  it("that cloud-init propagates are none of the agent's", () => {
    const byCloudInit: LaunchAccessCredential = {
      ...keys(),
      kind: "sshPublicKey",
      users: [],
      propagation: "noCloud",
    };
    assert.deepEqual(agentCredentials([byCloudInit, PASSWORDS]), [PASSWORDS]);
  });
});
