/** The command line on a real guest: its screen, its ports, its Service, and what is said of machines that don't run. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { VERSION } from "../../api/version.ts";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import { SERVICES } from "../../kube/resources.ts";
import { VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { Browser } from "../harness/browser.ts";
import { kubeconfigPath, ROOT } from "../harness/cluster.ts";
import { capture, clusterTool, interact } from "../harness/command.ts";
import { ask, Guests } from "../harness/guest.ts";

const NAME = "shown";
const STATUS_MS = 90_000;
/** Where the pictures are left for a person to look at. */
const PICTURES = join(ROOT, "build/screenshots");

describe("the command line", { concurrency: 1 }, () => {
  let guests: Guests;
  let env: NodeJS.ProcessEnv;

  before(async () => {
    guests = await Guests.open("cli");
    env = { ...process.env, KUBECONFIG: kubeconfigPath() };
    mkdirSync(PICTURES, { recursive: true });
    await guests.create(NAME);
    await guests.answering(NAME);
  });
  after(() => guests.close());

  const line = (...args: readonly string[]) => ["cli/main.ts", "-n", guests.namespace, ...args];
  const virtpod = (...args: readonly string[]) => capture("node", line(...args), env);
  /** A command that fails: its exit code and both outputs. */
  const failing = (...args: readonly string[]) => {
    const { status, stderr, stdout } = spawnSync("node", line(...args), { cwd: ROOT, env, encoding: "utf8" });
    return { status, stderr, stdout };
  };
  /** A command that goes on until ^C, once it has printed its first line. */
  const serving = async (...args: readonly string[]) => {
    const session = interact("node", line(...args), env);
    const [first] = await session.expect(/^.+\n/m, STATUS_MS);
    return { session, first };
  };

  it("tells both versions, and its own without a cluster", () => {
    assert.equal(virtpod("version"), `Client Version: ${VERSION}\nServer Version: ${VERSION}\n`);
    const alone = capture("node", ["cli/main.ts", "version", "--client"], { PATH: process.env["PATH"] });
    assert.equal(alone, `Client Version: ${VERSION}\n`);
  });

  it("takes flags as virtctl's scripts write them, and refuses what there is not by name", () => {
    assert.match(virtpod("pause", "vm", NAME, "--dry-run=true"), /dry run/);
    assert.match(virtpod("stop", NAME, "--force=true", "--grace-period=0", "--dry-run=true"), /dry run/);
    const { status, stderr } = failing("migrate", NAME, "--addedNodeSelector=x");
    assert.deepEqual([status, stderr.includes("no live migration yet")], [1, true]);
    assert.equal(failing("start", "nobody").status, 1);
  });

  it("saves what the screen shows", () => {
    const file = join(PICTURES, "screenshot.png");
    virtpod("screenshot", NAME, file);
    // PNG (Third Edition), 11.2.1: width and height follow the first chunk's name.
    const head = readFileSync(file).subarray(12, 24);
    assert.deepEqual(
      [head.toString("latin1", 0, 4), head.readUInt32BE(4), head.readUInt32BE(8)],
      ["IHDR", 720, 400],
    );
  });

  it("leads any VNC viewer to the screen through a local port", async () => {
    const { session, first } = await serving("vnc", NAME, "--proxy-only");
    const { port } = JSON.parse(first) as { readonly port: number };
    const viewer = connect(port, "127.0.0.1");
    const [greeting] = (await once(viewer, "data", { signal: AbortSignal.timeout(STATUS_MS) })) as [Buffer];
    assert.equal(greeting.toString("latin1", 0, 12), "RFB 003.008\n");
    viewer.destroy();
    assert.equal(await session.ended, 0);
  });

  it("shows the screen in a browser, which gets it again when it was lost", async () => {
    const { session, first } = await serving("vnc", NAME, "--browser", "--proxy-only");
    const { url } = JSON.parse(first) as { readonly url: string };
    const browser = await Browser.open(1280, 800);
    try {
      await browser.go(url);
      await browser.until(`document.body.dataset.state === "connected"`);
      // Something is drawn: the firmware's words, in more than one colour.
      await browser.until(`(() => {
        const canvas = document.getElementById("screen");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size > 1;
      })()`);
      assert.equal(await browser.evaluate("document.getElementById('told').textContent"), "720 × 400");
      writeFileSync(join(PICTURES, "vnc-browser.png"), await browser.screenshot());
      virtpod("restart", NAME);
      await browser.until(`document.body.dataset.state === "lost"`, 60_000);
      writeFileSync(join(PICTURES, "vnc-browser-lost.png"), await browser.screenshot());
      await browser.until(`document.body.dataset.state === "connected"`, 50_000);
    } finally {
      session.kill();
      await browser.close();
    }
    await guests.answering(NAME);
  });

  it("joins local ports and its own streams with the guest's", async () => {
    const { session, first } = await serving("port-forward", `vm/${NAME}`, "0:80");
    const [, port] =
      /^Forwarding tcp 127\.0\.0\.1:(\d+) to port 80 of vm\/shown\//.exec(first) ?? assert.fail(first);
    const { uptimeSeconds } = await ask<{ readonly uptimeSeconds: number }>(`127.0.0.1:${port}`, "/uptime");
    assert.ok(uptimeSeconds > 0);
    session.kill();
    const stdio = spawn(
      "node",
      line("port-forward", "--stdio=true", `vmi/${NAME}/${guests.namespace}`, "80"),
      {
        cwd: ROOT,
        env,
        stdio: ["pipe", "pipe", "inherit"],
      },
    );
    stdio.stdin.write("GET /uptime HTTP/1.0\r\n\r\n");
    assert.match(await text(stdio.stdout), /^HTTP\/1\.1 200 OK.*uptimeSeconds/s);
    assert.match(failing("port-forward", "--stdio", "vm/nobody", "80").stderr, /"nobody" not found/);
  });

  it("makes a Service that leads to the guest and goes with it", async () => {
    virtpod("expose", "vm", NAME, "--name", "web", "--port", "8080", "--target-port", "80");
    const { metadata, spec } = await guests.resource(SERVICES).get("web");
    assert.equal(metadata.ownerReferences?.[0]?.kind, "VirtualMachine");
    // The node learns of a Service a moment later, and refuses until then.
    const retries = ["--retry", "30", "--retry-delay", "1", "--retry-connrefused"];
    const url = `http://${spec?.clusterIP}:8080/uptime`;
    assert.match(capture("curl", ["--silent", "--show-error", ...retries, url]), /uptimeSeconds/);
  });

  it("writes manifests that the API server takes", () => {
    const flags = ["--name=made", "--user=me", "--ssh-key=ssh-ed25519 AAAA", "--volume-containerdisk=src:x"];
    const manifest = virtpod(
      "create",
      "vm",
      ...flags,
      "--volume-pvc=src:y,bootorder:1",
      "--access-cred=src:keys",
    );
    const applied = spawnSync(
      clusterTool("kubectl"),
      ["apply", "--dry-run=server", "-n", guests.namespace, "-f", "-"],
      { env, input: manifest, encoding: "utf8" },
    );
    assert.equal(
      applied.stdout,
      "virtualmachine.kubevirt.io/made created (server dry run)\n",
      applied.stderr,
    );
  });

  it("has the operator write a machine out, from the cluster and from a file", async () => {
    const { metadata, spec } = await guests.resource(VIRTUAL_MACHINES).get(NAME);
    const stored = JSON.parse(virtpod("expand", "--vm", NAME, "-o", "json")) as VirtualMachine;
    assert.deepEqual([stored.metadata.uid, stored.spec], [metadata.uid, spec]);
    const file = join(PICTURES, "made.yaml");
    writeFileSync(file, virtpod("create", "vm", "--name", "made"));
    const made = JSON.parse(virtpod("expand", "-f", file, "-o", "json")) as VirtualMachine;
    assert.equal(made.metadata.name, "made");
    assert.match(failing("expand").stderr, /--vm NAME.*--file FILE/);
  });

  it("completes names of machines in bash", () => {
    const script = `virtpod() { node cli/main.ts "$@"; }; source <(virtpod completion bash)
      COMP_WORDS=(virtpod -n ${guests.namespace} console sh); COMP_CWORD=4; _virtpod; echo "\${COMPREPLY[@]}"
      COMP_WORDS=(virtpod ssh me@vm/sh -n ${guests.namespace}); COMP_WORDS=(virtpod -n ${guests.namespace} ssh me@vm/)
      COMP_CWORD=4; _virtpod; echo "\${COMPREPLY[@]}"`;
    assert.equal(capture("bash", ["-c", script], env), `${NAME}\nme@vm/${NAME}\n`);
  });

  it("gives a console to who comes last, and tells the other so", async () => {
    const first = interact("node", line("console", NAME), env);
    await first.expect(/Connected to the console/, STATUS_MS);
    const second = interact("node", line("console", NAME), env);
    await second.expect(/Connected to the console/, STATUS_MS);
    await first.expect(/was taken by somebody else/, STATUS_MS);
    assert.equal(await first.ended, 1);
    second.write("\u001d");
    assert.equal(await second.ended, 0);
  });

  describe("says of a machine that doesn't run", { concurrency: 1 }, () => {
    const doctor = (name: string) => {
      const { status, stdout } = failing("doctor", name, "-o", "json");
      const { findings } = JSON.parse(stdout) as {
        readonly findings: readonly {
          readonly code: string;
          readonly what: string;
          readonly todo?: string;
        }[];
      };
      return { status, codes: findings.map(({ code }) => code), first: findings[0] };
    };

    it("nothing of one that does", () => {
      assert.deepEqual(doctor(NAME).status, 0);
      assert.match(virtpod("doctor", NAME), /Running, nothing keeps it from running/);
    });

    it("that nobody has started it", async () => {
      await guests.create("halted", { vm: { runStrategy: "Halted" } });
      await guests.untilStatus("halted", "Stopped", STATUS_MS);
      const { status, first } = doctor("halted");
      assert.deepEqual([status, first?.code, first?.todo], [1, "Halted", "virtpod start halted"]);
    });

    it("that a claim is missing", async () => {
      const volumes = [{ name: "data", persistentVolumeClaim: { claimName: "nowhere" } }];
      const disks = [{ name: "data", disk: { bus: "virtio" as const } }];
      await guests.create("claimless", {
        spec: { volumes },
        domain: { devices: { interfaces: [{ name: "default", bridge: {} }], disks } },
      });
      await guests.untilStatus("claimless", "ErrorPvcNotFound", STATUS_MS);
      const { codes, first } = doctor("claimless");
      assert.deepEqual(codes.slice(0, 2), ["ClaimMissing", "FailedPvcNotFound"]);
      assert.match(first?.what ?? "", /nowhere doesn't exist/);
      await guests.remove("claimless");
    });

    it("that no node takes it", async () => {
      await guests.create("nonode", { spec: { nodeSelector: { "example.com/rack": "none" } } });
      await guests.untilStatus("nonode", "ErrorUnschedulable", STATUS_MS);
      const { first } = doctor("nonode");
      assert.equal(first?.code, "Unschedulable");
      assert.match(first?.todo ?? "", /nodeSelector/);
      await guests.remove("nonode");
    });
  });
});
