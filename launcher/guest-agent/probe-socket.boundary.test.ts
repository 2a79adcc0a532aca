/** The socket that virtpod-probe asks at, and that program itself, as the launcher's image has it. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { ProbeRequest } from "./probe.ts";
import { serveProbes } from "./probe-socket.ts";

const quiet = () => {};
const LOG = { debug: quiet, info: quiet, warn: quiet, error: quiet, fatal: quiet };

describe("the socket for probes", () => {
  const folder = mkdtempSync(join(tmpdir(), "virtpod-probe-"));
  const path = join(folder, "probe.sock");
  const program = join(folder, "virtpod-probe");
  const asked: ProbeRequest[] = [];
  let server: ReturnType<typeof serveProbes>;

  before(async () => {
    const source = join(import.meta.dirname, "../../images/probe/probe.c");
    execFileSync("gcc", [
      "-static",
      "-Os",
      "-Wall",
      "-Wextra",
      "-Werror",
      `-DPROBE_SOCKET="${path}"`,
      "-o",
      program,
      source,
    ]);
    server = serveProbes(
      path,
      async (request) => {
        asked.push(request);
        return { isSuccess: request.command === undefined, message: "as the guest says" };
      },
      LOG,
    );
    await once(server, "listening");
  });
  after(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  async function run(...args: string[]): Promise<readonly [number, string]> {
    const child = spawn(program, args);
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += String(chunk);
    });
    child.stderr.on("data", (chunk) => {
      output += String(chunk);
    });
    const [status] = (await once(child, "close")) as [number];
    return [status, output];
  }

  it("is asked by virtpod-probe, which says and ends as it answers", async () => {
    assert.deepEqual(await run("liveness", "3", "ping"), [0, "as the guest says\n"]);
    assert.deepEqual(await run("readiness", "1", "exec", "/bin/echo", "two words", ""), [
      1,
      "as the guest says\n",
    ]);
    assert.deepEqual(asked.splice(0), [
      { kind: "liveness", timeoutSeconds: 3 },
      { kind: "readiness", timeoutSeconds: 1, command: ["/bin/echo", "two words", ""] },
    ]);
  });

  it("turns away what is no probe, and asks nobody", async () => {
    assert.deepEqual(await run("liveness", "3", "shutdown"), [1, "this is no probe\n"]);
    const [status, usage] = await run("ping");
    assert.equal(status, 2);
    assert.match(usage, /usage/);
    assert.deepEqual(asked, []);
  });

  it("ends a connection that sends without end, and goes on", async () => {
    const socket = connect(path);
    // It may be reset: that is no failure of this test's.
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.once("close", resolve));
    const flood = () => {
      while (!socket.destroyed && socket.write(Buffer.alloc(64 * 1024, 1))) {
        // Until it is full.
      }
    };
    socket.on("drain", flood).once("connect", flood);
    await closed;
    assert.equal((await run("liveness", "3", "ping"))[0], 0);
    asked.splice(0);
  });

  it("that is away fails the probe in words", async () => {
    server.close();
    await once(server, "close");
    const [status, words] = await run("liveness", "3", "ping");
    assert.equal(status, 1);
    assert.match(words, /the launcher does not answer at/);
  });
});
