import assert from "node:assert/strict";
import { test } from "node:test";
import { parseContents, parseLibraries, RootfsError } from "./rootfs.ts";

test("the loader's list gives the libraries within the tree, without the kernel's own", () => {
  const text = [
    "\tlinux-vdso.so.1 (0x00007f7b0c5f3000)",
    "\tlibelf.so.1 => /tree/usr/lib/x86_64-linux-gnu/libelf.so.1 (0x00007f7b0c480000)",
    "\t/lib64/ld-linux-x86-64.so.2 => /tree/usr/lib64/ld-linux-x86-64.so.2 (0x00007f7b0c5f5000)",
  ].join("\n");
  assert.deepEqual(parseLibraries(text, "/tree"), [
    "usr/lib/x86_64-linux-gnu/libelf.so.1",
    "usr/lib64/ld-linux-x86-64.so.2",
  ]);
});

test("a library that no package has is an error", () => {
  assert.throws(() => parseLibraries("\tlibmissing.so.1 => not found\n", "/tree"), RootfsError);
});

test("a package's contents are its files and links, not its folders", () => {
  const text = [
    "drwxr-xr-x root/root         0 2025-05-02 10:00 ./usr/bin/",
    "-rwxr-xr-x root/root     22952 2025-05-02 10:00 ./usr/bin/tool",
    "lrwxrwxrwx root/root         0 2025-05-02 10:00 ./usr/bin/alias -> tool",
    "hrwxr-xr-x root/root         0 2025-05-02 10:00 ./usr/bin/twin link to ./usr/bin/tool",
  ].join("\n");
  assert.deepEqual(parseContents(text), ["usr/bin/tool", "usr/bin/alias", "usr/bin/twin"]);
});
