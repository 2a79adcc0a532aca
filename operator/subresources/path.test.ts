import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { document, nameOf, parseSubresourcePath } from "./path.ts";
import { StatusError } from "./status.ts";

const BASE = "/apis/subresources.kubevirt.io/v1/namespaces/default";

describe("a path", () => {
  for (const [path, name, parameters] of [
    ["virtualmachineinstances/tiny/console", "virtualmachineinstances/console", undefined],
    ["virtualmachineinstances/tiny/vnc/screenshot", "virtualmachineinstances/vnc/screenshot", undefined],
    ["virtualmachines/tiny/evacuate/cancel", "virtualmachines/evacuate/cancel", undefined],
    ["virtualmachineinstances/tiny/portforward/22", "virtualmachineinstances/portforward", ["22"]],
    ["virtualmachines/tiny/portforward/53/udp", "virtualmachines/portforward", ["53", "udp"]],
    ["expand-vm-spec", "expand-vm-spec", undefined],
  ] as const) {
    it(`${path} is ${name} to discovery and RBAC`, () => {
      const parsed = parseSubresourcePath(`${BASE}/${path}`);
      assert.ok(parsed !== undefined);
      assert.equal(nameOf(parsed), name);
      assert.deepEqual(parsed.parameters, parameters);
    });
  }

  for (const path of [
    "virtualmachines",
    "virtualmachines/tiny",
    "virtualmachines/tiny/",
    "virtualmachines//console",
    "pods/tiny/exec",
    "expand-vm-spec/tiny",
    "virtualmachines/%/console",
  ]) {
    it(`${path} is nobody's`, () => assert.equal(parseSubresourcePath(`${BASE}/${path}`), undefined));
  }

  it("of any characters is parsed or refused, and never throws anything else", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseSubresourcePath(`${BASE}/${text}`);
        try {
          document(`/apis/subresources.kubevirt.io/v1/${text}`);
        } catch (error) {
          assert.ok(error instanceof StatusError);
        }
      }),
    );
  });
});
