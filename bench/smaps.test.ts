import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSmaps, privateDirtyKiB, SmapsError, splitQemu } from "./smaps.ts";

const mapping = (
  permissions: string,
  inode: number,
  path: string,
  sizeKiB: number,
  dirtyKiB: number,
  anonymousKiB = dirtyKiB,
) =>
  `7f0000000000-7f0008000000 ${permissions} 00000000 00:01 ${inode}                 ${path}
Size:             ${sizeKiB} kB
KernelPageSize:        4 kB
Rss:              ${sizeKiB} kB
Pss:                   7 kB
Pss_Dirty:             7 kB
Shared_Dirty:         11 kB
Private_Clean:        13 kB
Private_Dirty:    ${dirtyKiB} kB
Referenced:           17 kB
Anonymous:        ${anonymousKiB} kB
VmFlags: rd wr mr mw me dc ac sd
`;

const anonymousRam = mapping("rw-p", 0, "", 131072, 90000);
const heap = mapping("rw-p", 0, "[heap]", 20000, 12000);
const library = mapping("r-xp", 4711, "/usr/lib/x86_64-linux-gnu/libc.so.6 (deleted)", 1400, 8);
const translations = mapping("rwxp", 0, "", 32764, 20000);
const guard = mapping("---p", 0, "", 4, 0);

test("each mapping has its permissions, name, size and private dirty memory, and no other field is taken for them", () => {
  assert.deepEqual(parseSmaps(heap + library), [
    { permissions: "rw-p", inode: 0, path: "[heap]", sizeKiB: 20000, privateDirtyKiB: 12000 },
    {
      permissions: "r-xp",
      inode: 4711,
      path: "/usr/lib/x86_64-linux-gnu/libc.so.6 (deleted)",
      sizeKiB: 1400,
      privateDirtyKiB: 8,
    },
  ]);
});

test("pages of a program that was just unpacked are not the process's own, its copies of them are", () => {
  const program = mapping("r-xp", 12, "/usr/bin/qemu-system-x86_64", 6792, 6328, 0);
  const relocated = mapping("r--p", 12, "/usr/bin/qemu-system-x86_64", 4720, 4592, 4500);
  assert.equal(privateDirtyKiB(parseSmaps(program + relocated)), 4500);
});

test("a process that has ended has no mappings", () => {
  assert.equal(privateDirtyKiB(parseSmaps("")), 0);
});

test("a field before any mapping is an error", () => {
  assert.throws(() => parseSmaps("Private_Dirty:  4 kB\n"), SmapsError);
});

test("guest RAM, translations and the rest of qemu add up to all of it", () => {
  const mappings = parseSmaps(anonymousRam + heap + guard + translations + guard + translations + library);
  assert.deepEqual(splitQemu(mappings, 128), { guestRamKiB: 90000, tcgCacheKiB: 40000, restKiB: 12008 });
});

test("guest RAM that is shared lies in a memfd", () => {
  const shared = mapping("rw-s", 77, "/memfd:memory-backend-memfd (deleted)", 131072, 5);
  assert.equal(splitQemu(parseSmaps(shared + heap), 128).guestRamKiB, 5);
});

test("translations may lie in two mappings of a memfd", () => {
  const write = mapping("rw-s", 78, "/memfd:qemu-jit (deleted)", 65536, 600);
  const execute = mapping("r-xs", 78, "/memfd:qemu-jit (deleted)", 65536, 0);
  assert.equal(splitQemu(parseSmaps(anonymousRam + write + execute), 128).tcgCacheKiB, 600);
});

test("a file mapping of the guest's size is not its RAM", () => {
  const disk = mapping("rw-s", 99, "/var/lib/disk.img", 131072, 5);
  assert.equal(splitQemu(parseSmaps(disk + anonymousRam), 128).guestRamKiB, 90000);
});

test("a qemu without one mapping of the guest's size, or with two, is not split by guessing", () => {
  assert.throws(() => splitQemu(parseSmaps(heap), 128), SmapsError);
  assert.throws(() => splitQemu(parseSmaps(anonymousRam + anonymousRam), 128), SmapsError);
  assert.throws(() => splitQemu(parseSmaps(anonymousRam), 256), SmapsError);
});
