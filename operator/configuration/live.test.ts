import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CONFIG_KEY } from "../../api/configuration.ts";
import { inForceData } from "./keeper.ts";
import { LiveConfiguration, leftInForce, nextInForce } from "./live.ts";

const data = (text: string) => ({ [CONFIG_KEY]: text });
const GOOD = data('{"logLevel": "debug"}');

describe("the configuration in force", () => {
  it("is the last good one, with the reason why the wanted one isn't", () => {
    const live = new LiveConfiguration(nextInForce(GOOD, undefined));
    const { version } = live.inForce;
    for (const [wanted, reason] of [
      [data("{"), /no JSON/],
      [data('{"logLevel": 1}'), /logLevel/],
      [{}, /config\.json is missing/],
      [undefined, /there is no ConfigMap virtpod-config/],
    ] as const) {
      live.take(wanted);
      assert.equal(live.current.logLevel, "debug");
      assert.equal(live.inForce.version, version);
      assert.match(live.inForce.refused ?? "", reason);
    }
    live.take(data('{"logLevel": "warn"}'));
    assert.equal(live.inForce.refused, undefined);
    assert.equal(live.current.logLevel, "warn");
  });

  it("tells of each change once", () => {
    const live = new LiveConfiguration(nextInForce(GOOD, undefined));
    const told: unknown[] = [];
    live.on("change", (now, before) => told.push([before.refused === undefined, now.refused === undefined]));
    live.take(GOOD);
    live.take(data('{ "logLevel":"debug" }'));
    live.take(data("{"));
    live.take(data("{"));
    live.take(GOOD);
    assert.deepEqual(told, [
      [true, false],
      [false, true],
    ]);
  });

  it("outlives the operator: what one has written down the next one reads", () => {
    const left = nextInForce(GOOD, undefined);
    const next = nextInForce(data("{"), leftInForce(inForceData(left)));
    assert.deepEqual(next.configuration, left.configuration);
    assert.equal(next.version, left.version);
    assert.match(next.refused ?? "", /no JSON/);
  });

  it("is none where nothing good is known: the operator can't start", () => {
    assert.throws(() => nextInForce(data("{"), leftInForce(data("["))), { code: "InvalidConfiguration" });
    assert.throws(() => nextInForce(undefined, leftInForce(undefined)), { code: "InvalidConfiguration" });
  });
});
