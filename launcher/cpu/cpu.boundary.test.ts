/** Pinned threads of a real qemu, and a real process that moves to its CPUs. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { LaunchSpec } from "../../api/launch-spec.ts";
import { threadsOfProcess } from "../../test/harness/threads.ts";
import { resourcesOf, SMALL_SPEC } from "../domain/spec.fixture.ts";
import { domainXml } from "../domain/xml.ts";
import { sessionOfSuite, skip } from "../libvirt/session.fixture.ts";
import { readHostCpus } from "./host-cpus.ts";

const HERE = new URL("./host-cpus.ts", import.meta.url).href;
const [first = 0, second = first] = [...readHostCpus().allowed];

describe("dedicated CPUs", { skip: skip || (first === second && "needs two CPUs"), timeout: 60_000 }, () => {
  const suite = sessionOfSuite();

  it("have each vCPU of a started domain on its own, and every other thread where the emulator is", async () => {
    const { session, connection } = suite();
    const { domain } = SMALL_SPEC;
    const uuid = "5d2f0c0e-7f8b-4d7e-9a51-0e6f3a1cc9c0";
    const spec: LaunchSpec = {
      ...SMALL_SPEC,
      name: "pinned",
      domain: { ...domain, uuid, ioThreads: 1, cpu: { ...domain.cpu, cores: 2 } },
    };
    const pinning = { vcpus: [second, first], emulator: [second] };
    const xml = domainXml(spec, { ...resourcesOf(spec, session.directory), pinning });
    const started = await connection.createDomain(xml, { validate: true });
    try {
      const threads = threadsOfProcess(qemuOf(uuid));
      const vcpus = threads.filter(({ name }) => name.startsWith("CPU "));
      assert.deepEqual(
        vcpus.toSorted((a, b) => a.name.localeCompare(b.name)).map(({ cpus }) => cpus),
        [[second], [first]],
        JSON.stringify(threads),
      );
      const others = threads.filter((thread) => !vcpus.includes(thread));
      assert(
        others.some(({ name }) => name.startsWith("IO ")),
        JSON.stringify(threads),
      );
      for (const { cpus, name } of others) assert.deepEqual(cpus, [second], name);
    } finally {
      await connection.destroyDomain(started);
    }
  });

  it("take the launcher with all its threads to the emulator's, and what it starts", () => {
    const script = `
      import { execFileSync } from "node:child_process";
      import { readdirSync, readFileSync } from "node:fs";
      import { readHostCpus, runOn } from "${HERE}";
      runOn([${second}]);
      const list = (path) => /Cpus_allowed_list:\\s*(.*)/.exec(readFileSync(path, "utf8"))[1];
      const own = readdirSync("/proc/self/task").map((task) => list("/proc/self/task/" + task + "/status"));
      const child = execFileSync("cat", ["/proc/self/status"], { encoding: "utf8" });
      console.log(JSON.stringify([...own, /Cpus_allowed_list:\\s*(.*)/.exec(child)[1], [...readHostCpus().allowed].join()]));
    `;
    const lists = JSON.parse(
      execFileSync(process.execPath, ["--input-type=module", "--eval", script], { encoding: "utf8" }),
    ) as string[];
    assert(lists.length > 3, "Node has threads beside the first");
    assert.deepEqual([...new Set(lists)], [String(second)]);
  });
});

function qemuOf(uuid: string): string {
  const pid = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .find((name) => {
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, "utf8");
        return command.includes("qemu-system") && command.includes(uuid);
      } catch {
        // It ended in between.
        return false;
      }
    });
  assert(pid !== undefined, `no qemu of ${uuid} runs`);
  return pid;
}
