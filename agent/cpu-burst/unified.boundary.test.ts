/**
 * The suites of this folder on real cgroups of version 2, in a guest whose kernel has the unified hierarchy alone: the
 * test guest's kernel and shell, and Node with the suites in one file. Where the machine itself has version 2, they run
 * on it anyway.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import { EmulatedGuest, emulator } from "../../images/emulator.ts";
import { type Machine, prepareMachine } from "../../images/guest-tiny/boot.ts";
import { cacheFolder } from "../../images/layer.ts";
import { run } from "../../images/process.ts";
import { VERSION } from "./cgroups.fixture.ts";

/** Under emulation, with other work on the machine. */
const BOOT_MS = 120_000;
const SUITES_MS = 240_000;
const LOADER = "usr/lib64/ld-linux-x86-64.so.2";
const LIBRARIES = [
  "libdl.so.2",
  "libstdc++.so.6",
  "libm.so.6",
  "libgcc_s.so.1",
  "libpthread.so.0",
  "libc.so.6",
];

/** The guest's first process: no systemd, so nobody else writes into its cgroups. */
const INIT = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo "guest: controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
NO_COLOR=1 /${LOADER} --library-path /node /node/node /node/suites.mjs
echo "guest: suites ended with $?"
poweroff -f
`;

let work: string;

before(async () => {
  work = await mkdtemp(join(cacheFolder(), ".unified-"));
});

after(() => rm(work, { recursive: true, force: true }));

test("everything holds on cgroup v2 too", { skip: VERSION === 2, timeout: BOOT_MS + SUITES_MS }, async () => {
  const machine = await prepareMachine();
  const initrd = await makeInitrd(machine);
  await using guest = boot(machine, initrd);
  const { text } = await guest.line(/guest: controllers/, 0, BOOT_MS);
  assert.match(text, /\bcpu\b/);
  const ended = await guest.line(/guest: suites ended with (\d+)/, 0, SUITES_MS);
  const said = guest.lines.map((line) => line.text).join("\n");
  assert.match(ended.text, /ended with 0$/, said);
  const passed = Number(/^ℹ pass (\d+)/m.exec(said)?.[1] ?? 0);
  assert.ok(passed > 25, said);
  assert.match(said, /^ℹ (skipped|fail) 0/m);
});

/** The test guest's, and behind it a second archive: the kernel unpacks both into one root. */
async function makeInitrd({ root, guest }: Machine): Promise<string> {
  const added = join(work, "root");
  await mkdir(join(added, "node"), { recursive: true });
  await mkdir(join(added, dirname(LOADER)), { recursive: true });
  await copyFile(join(root, LOADER), join(added, LOADER));
  for (const library of LIBRARIES) {
    await copyFile(join(root, "usr/lib/x86_64-linux-gnu", library), join(added, "node", library));
  }
  await copyFile(process.execPath, join(added, "node/node"));
  await writeFile(join(added, "suites.sh"), INIT);
  await chmod(join(added, "suites.sh"), 0o755);
  await bundleSuites(join(added, "node/suites.mjs"));
  const archive = join(work, "added.cpio");
  await run("sh", ["-c", `find . | cpio --quiet --create --format=newc --owner=0:0 --file ${archive}`], {
    cwd: added,
  });
  const first = await readFile(join(guest, "boot/initrd.gz"));
  const initrd = join(work, "initrd");
  // Each archive begins at a multiple of four bytes (Documentation/driver-api/early-userspace/buffer-format.rst).
  const padding = Buffer.alloc((4 - (first.length % 4)) % 4);
  await writeFile(initrd, Buffer.concat([first, padding, await readFile(archive)]));
  return initrd;
}

async function bundleSuites(outfile: string): Promise<void> {
  const suites = ["cpu-burst.boundary.test.ts", "kernel.boundary.test.ts"];
  await build({
    stdin: {
      contents: suites.map((name) => `import "./${name}";`).join("\n"),
      resolveDir: import.meta.dirname,
    },
    bundle: true,
    outfile,
    platform: "node",
    format: "esm",
    target: "node24",
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url); const __filename = "", __dirname = "";',
    },
    logLevel: "error",
  });
}

function boot({ root, guest }: Machine, initrd: string): EmulatedGuest {
  const [command = "", ...arguments_] = [
    ...emulator(root),
    ...["-machine", "q35", "-cpu", "max", "-accel", "tcg", "-m", "1024"],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"],
    ...["-kernel", join(guest, "boot/vmlinux"), "-initrd", initrd],
    ...["-append", "console=ttyS0 quiet rdinit=/suites.sh cgroup_no_v1=all"],
  ];
  const qemu = spawn(command, arguments_, { stdio: ["pipe", "pipe", "inherit"] });
  return new EmulatedGuest(qemu, "", undefined, async () => {});
}
