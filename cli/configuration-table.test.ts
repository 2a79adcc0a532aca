import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DEFAULT_CONFIGURATION } from "../api/configuration.ts";
import { configurationTable } from "./configuration-table.ts";

const data = { "config.json": JSON.stringify(DEFAULT_CONFIGURATION), version: "0123456789ab" };

describe("the table of the configuration", () => {
  it("has each value by its path", () => {
    const nodeStrategies = [{ name: "batch", nodeSelector: { matchLabels: { pool: "b" } }, policy: "none" }];
    const document = { logLevel: "debug", cpuBurst: { nodeStrategies } };
    const text = configurationTable({ ...data, "config.json": JSON.stringify(document) }, "virtpod");
    const [first, blank, ...rows] = text.trimEnd().split("\n");
    assert.deepEqual([first, blank], ["Version 0123456789ab is in force.", ""]);
    assert.deepEqual(
      rows.map((row) => row.split(/ {2,}/)),
      [
        ["FIELD", "VALUE"],
        ["logLevel", "debug"],
        ["cpuBurst.nodeStrategies[0].name", "batch"],
        ["cpuBurst.nodeStrategies[0].nodeSelector.matchLabels.pool", "b"],
        ["cpuBurst.nodeStrategies[0].policy", "none"],
      ],
    );
  });

  it("says what is refused, and why, without a terminal's commands", () => {
    const refused = "the configuration is refused: logLevel: must be one of \u001b[31mtrace";
    const text = configurationTable({ ...data, refused }, "virtpod");
    assert.match(text, /ConfigMap virtpod\/virtpod-config holds another one: .*one of \?\[31mtrace\./);
    assert.match(text, /cpuBurst\.clusterStrategy\.policy +cpuBurstOnly/);
  });
});
