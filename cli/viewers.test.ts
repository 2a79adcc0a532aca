import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseViewer, type VncType } from "./viewers.ts";

const having =
  (...programs: readonly string[]) =>
  (program: string) =>
    programs.includes(program) ? `/usr/bin/${program}` : undefined;

const cases: readonly (readonly [
  string,
  readonly string[],
  VncType | undefined,
  string,
  readonly string[],
])[] = [
  [
    "remote-viewer is taken first",
    ["vncviewer", "remote-viewer"],
    undefined,
    "remote-viewer",
    ["vnc://127.0.0.1:5901"],
  ],
  ["else a vncviewer", ["vncviewer"], undefined, "vncviewer", ["127.0.0.1::5901"]],
  [
    "a type that is asked for is found by its name",
    ["vncviewer", "xtightvncviewer"],
    "tight",
    "xtightvncviewer",
    ["127.0.0.1::5901"],
  ],
  [
    "RealVNC's is told not to warn",
    ["vncviewer"],
    "real",
    "vncviewer",
    ["127.0.0.1::5901", "-WarnUnencrypted=0", "-Shared=0", "-ShareFiles=0"],
  ],
];
for (const [what, programs, vncType, program, args] of cases)
  test(what, () =>
    assert.deepEqual(
      chooseViewer({ platform: "linux", find: having(...programs), ...(vncType && { vncType }) }, 5901),
      { program: `/usr/bin/${program}`, args },
    ),
  );

test("a viewer of one's own is told as its type wants it", () => {
  const find = (program: string) => program;
  const choice = { platform: "linux", find, vncPath: "/opt/remote-viewer" };
  assert.deepEqual(chooseViewer(choice, 1).args, ["vnc://127.0.0.1:1"]);
  assert.deepEqual(chooseViewer({ ...choice, vncType: "tiger" }, 1).args, ["127.0.0.1::1"]);
});

test("without a viewer the person is told what else there is", () => {
  const none = { platform: "linux", find: () => undefined };
  assert.throws(() => chooseViewer(none, 1), /install remote-viewer.*--browser.*--proxy-only/);
  assert.throws(() => chooseViewer({ ...none, vncType: "real" }, 1), /of the type real/);
  assert.throws(() => chooseViewer({ ...none, vncPath: "/x" }, 1), /no program \/x/);
});
