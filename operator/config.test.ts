import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseConfig } from "./config.ts";

const ENVIRONMENT = {
  POD_NAME: "operator-0",
  POD_NAMESPACE: "virtpod",
  VIRTPOD_LAUNCHER_IMAGE: "launcher:1",
};
const FILE = '{"useEmulation": true}';

describe("the operator's configuration", () => {
  it("has defaults for all but who it is, and what it starts", () => {
    assert.deepEqual(parseConfig(ENVIRONMENT, FILE), {
      podName: "operator-0",
      namespace: "virtpod",
      useEmulation: true,
      storage: { allowHostDisk: false, allowServiceAccountDisk: false },
      network: { allowUnguardedInterfaces: false },
      launcher: { image: "launcher:1", imagePullPolicy: "IfNotPresent", imagePullSecrets: [] },
      logLevel: "info",
    });
  });

  it("allows the disks and interfaces that its file allows", () => {
    const file = '{"useEmulation": false, "allowHostDisk": true, "allowUnguardedInterfaces": true}';
    const { storage, network } = parseConfig(ENVIRONMENT, file);
    assert.deepEqual(storage, { allowHostDisk: true, allowServiceAccountDisk: false });
    assert.deepEqual(network, { allowUnguardedInterfaces: true });
  });

  it("reads pull secrets as a list", () => {
    const { launcher } = parseConfig({ ...ENVIRONMENT, VIRTPOD_LAUNCHER_PULL_SECRETS: "a,,b" }, FILE);
    assert.deepEqual(launcher.imagePullSecrets, ["a", "b"]);
  });

  const mistakes: readonly (readonly [what: string, environment: object, file: string, words: RegExp])[] = [
    ["a missing variable", { POD_NAME: undefined }, FILE, /POD_NAME is missing/],
    ["an empty variable", { VIRTPOD_LAUNCHER_IMAGE: "" }, FILE, /VIRTPOD_LAUNCHER_IMAGE is missing/],
    [
      "an unknown pull policy",
      { VIRTPOD_LAUNCHER_PULL_POLICY: "Sometimes" },
      FILE,
      /Sometimes, not one of Always/,
    ],
    ["an unknown log level", { VIRTPOD_LOG_LEVEL: "loud" }, FILE, /loud, not one of trace/],
    ["a file that is no JSON", {}, "useEmulation: true", /not JSON/],
    ["a file without an object", {}, "null", /holds no object/],
    ["an unknown field", {}, '{"useEmulation": true, "useKvm": true}', /unknown field useKvm/],
    ["a field of another type", {}, '{"useEmulation": "true"}', /no boolean/],
    ["no word on emulation", {}, "{}", /useEmulation in the configuration file is no boolean/],
  ];
  for (const [what, environment, file, words] of mistakes) {
    it(`with ${what} is refused by name`, () =>
      assert.throws(() => parseConfig({ ...ENVIRONMENT, ...environment }, file), {
        code: "InvalidConfiguration",
        message: words,
      }));
  }
});
