import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseConfig } from "./config.ts";

const ENVIRONMENT = {
  POD_NAME: "operator-0",
  POD_NAMESPACE: "virtpod",
  VIRTPOD_LAUNCHER_IMAGE: "launcher:1",
};

describe("the operator's configuration", () => {
  it("has defaults for all but who it is, and what it starts", () => {
    assert.deepEqual(parseConfig(ENVIRONMENT), {
      podName: "operator-0",
      namespace: "virtpod",
      launcher: { image: "launcher:1", imagePullPolicy: "IfNotPresent", imagePullSecrets: [] },
    });
  });

  it("reads pull secrets as a list", () => {
    const { launcher } = parseConfig({ ...ENVIRONMENT, VIRTPOD_LAUNCHER_PULL_SECRETS: "a,,b" });
    assert.deepEqual(launcher.imagePullSecrets, ["a", "b"]);
  });

  const mistakes: readonly (readonly [what: string, environment: object, words: RegExp])[] = [
    ["a missing variable", { POD_NAME: undefined }, /POD_NAME is missing/],
    ["an empty variable", { VIRTPOD_LAUNCHER_IMAGE: "" }, /VIRTPOD_LAUNCHER_IMAGE is missing/],
    ["an unknown pull policy", { VIRTPOD_LAUNCHER_PULL_POLICY: "Sometimes" }, /Sometimes, not one of Always/],
  ];
  for (const [what, environment, words] of mistakes) {
    it(`with ${what} is refused by name`, () =>
      assert.throws(() => parseConfig({ ...ENVIRONMENT, ...environment }), {
        code: "InvalidConfiguration",
        message: words,
      }));
  }
});
