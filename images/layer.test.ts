import assert from "node:assert/strict";
import { test } from "node:test";
import { recipeKey } from "./layer.ts";

test("a recipe's key depends on everything in it", () => {
  const recipe = { packages: ["nftables"], files: ["usr/sbin/nft"] };
  assert.equal(recipeKey("virtpod", recipe), recipeKey("virtpod", structuredClone(recipe)));
  assert.notEqual(recipeKey("virtpod", recipe), recipeKey("virtpod", { ...recipe, files: ["usr/sbin/ip"] }));
  assert.match(recipeKey("virtpod", recipe), /^virtpod-[0-9a-f]{16}$/);
});
