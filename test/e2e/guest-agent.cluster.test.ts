/** The guest agent of a Debian guest, from the VMI's status and its subresources to keys that change while it runs. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import { mergePatch } from "../../kube/request.ts";
import { SECRETS } from "../../kube/resources.ts";
import { conditionOf, isTrue } from "../../operator/vmi/conditions.ts";
import { Browser } from "../harness/browser.ts";
import { kubeconfigPath, ROOT } from "../harness/cluster.ts";
import { capture, clusterTool } from "../harness/command.ts";
import { debian, root, userData } from "../harness/debian.ts";
import { Guests } from "../harness/guest.ts";
import { Ssh, SshKey } from "../harness/ssh.ts";
import { loadDebianImage } from "../harness/storage.ts";

const NAME = "agent";
const USER = "tester";
/** The guest is ready while it has this file. */
const HEALTHY = "/run/healthy";
/** From the VM to what its agent has told; half a minute where nothing else uses the CPUs. */
const BOOT_TIMEOUT_MS = 480_000;
/** The kubelet looks at a mounted Secret about once a minute. */
const SECRET_TIMEOUT_MS = 180_000;
const STATUS_TIMEOUT_MS = 60_000;

describe("the agent of a Debian guest", { concurrency: 1 }, () => {
  const byCloudInit = new SshKey();
  const first = new SshKey();
  const second = new SshKey();
  const folder = mkdtempSync(join(tmpdir(), "virtpod-agent-"));
  let guests: Guests;
  let ssh: Ssh;

  before(async () => {
    loadDebianImage();
    guests = await Guests.open("guest-agent");
    const secrets = guests.resource(SECRETS);
    await secrets.create({ metadata: { name: "keys" }, stringData: { mine: first.publicKey } });
    await secrets.create({ metadata: { name: "passwords" }, stringData: { [USER]: "secret" } });
    const drive = { name: "drive", cloudInitNoCloud: { userData: userData(USER, byCloudInit.publicKey) } };
    const qemuGuestAgent = { users: [USER] };
    await guests.create(
      NAME,
      debian(
        [root, { volume: drive }],
        { devices: { rng: {} } },
        {
          readinessProbe: {
            exec: { command: ["/usr/bin/test", "-e", HEALTHY] },
            periodSeconds: 1,
            timeoutSeconds: 10,
          },
          livenessProbe: { guestAgentPing: {}, timeoutSeconds: 10, failureThreshold: 1_000 },
          accessCredentials: [
            {
              sshPublicKey: {
                source: { secret: { secretName: "keys" } },
                propagationMethod: { qemuGuestAgent },
              },
            },
            {
              userPassword: {
                source: { secret: { secretName: "passwords" } },
                propagationMethod: { qemuGuestAgent: {} },
              },
            },
          ],
        },
      ),
    );
    const vmi = await guests.untilVmi(NAME, "its credentials", BOOT_TIMEOUT_MS, (seen) =>
      isTrue(seen.status?.conditions, "AccessCredentialsSynchronized"),
    );
    ssh = new Ssh(first, USER, vmi.status?.interfaces?.[0]?.ipAddress ?? "");
  });
  after(async () => {
    await ssh?.close().catch(() => {});
    for (const key of [byCloudInit, first, second]) key.remove();
    rmSync(folder, { recursive: true });
    await guests.close();
  });

  const virtpod = (...args: readonly string[]) =>
    spawnSync("node", ["cli/main.ts", ...args], {
      cwd: ROOT,
      encoding: "utf8",
      env: { ...process.env, KUBECONFIG: kubeconfigPath() },
    });
  const path = (subresource: string) =>
    `/apis/subresources.kubevirt.io/v1/namespaces/${guests.namespace}/virtualmachineinstances/${NAME}/${subresource}`;
  const kubectl = (...args: string[]) =>
    capture(clusterTool("kubectl"), args, { ...process.env, KUBECONFIG: kubeconfigPath() });
  const get = <T>(subresource: string) => JSON.parse(kubectl("get", "--raw", path(subresource))) as T;
  const put = (subresource: string, body: object) => {
    const file = join(folder, subresource);
    writeFileSync(file, JSON.stringify(body));
    kubectl("replace", "--raw", path(subresource), "-f", file);
  };

  it("tells of its system and interfaces in the VMI's status", async () => {
    const { status } = await guests.untilVmi(
      NAME,
      "an address that the guest tells of",
      STATUS_TIMEOUT_MS,
      (seen) => seen.status?.interfaces?.[0]?.infoSource === "domain, guest-agent",
    );
    assert.deepEqual([status?.guestOSInfo?.id, status?.guestOSInfo?.versionId], ["debian", "13"]);
    const [own, ...others] = status?.interfaces ?? [];
    assert.deepEqual([own?.name, own?.interfaceName], ["default", "enp1s0"]);
    assert.deepEqual(others, []);
  });

  it("has given its user the key and the password of the Secrets, and no others", async () => {
    const keys = await ssh.run(`grep -o 'ssh-[^ ]* [^ ]*' ~${USER}/.ssh/authorized_keys`);
    assert.equal(keys.trim(), first.publicKey.split(" ").slice(0, 2).join(" "));
    assert.match(await ssh.run(`getent shadow ${USER}`), new RegExp(`^${USER}:\\$`));
  });

  it("answers for the guest through the aggregated API", async () => {
    const hostname = (await ssh.run("hostname")).trim();
    const info = get<{ hostname: string; os: { id: string }; guestAgentVersion: string; timezone: string }>(
      "guestosinfo",
    );
    assert.deepEqual([info.hostname, info.os.id], [hostname, "debian"]);
    assert.match(info.guestAgentVersion, /^\d+\.\d+/);
    assert.match(info.timezone, /^.*, 0$/);
    const { items } = get<{ items: { mountPoint: string; fileSystemType: string; totalBytes: number }[] }>(
      "filesystemlist",
    );
    const size = Number(await ssh.run("df --block-size=1 --output=size / | tail -1"));
    const rootSystem = items.find(({ mountPoint }) => mountPoint === "/");
    assert.equal(rootSystem?.fileSystemType, "ext4");
    // What is kept for root is part of one of the two numbers only.
    assert(Math.abs((rootSystem?.totalBytes ?? 0) / size - 1) < 0.1, `${rootSystem?.totalBytes} of ${size}`);
    assert(Array.isArray(get<{ items: unknown[] }>("userlist").items));
  });

  it("is reached by the command line's ssh and scp, which say what the guest's shell says", () => {
    const hosts = join(folder, "hosts");
    const trust = ["-oStrictHostKeyChecking=accept-new", "-oBatchMode=yes", "-oLogLevel=ERROR"];
    const options = ["-i", first.file, "--known-hosts", hosts, ...trust.flatMap((one) => ["-t", one])];
    const target = `${USER}@vm/${NAME}/${guests.namespace}`;
    const { status, stdout } = virtpod("ssh", target, ...options, "-c", "id -un; exit 3");
    assert.deepEqual([status, stdout], [3, `${USER}\n`]);
    // Fails where no key is kept by that name.
    capture("ssh-keygen", ["-F", `vm.${NAME}.${guests.namespace}`, "-f", hosts]);
    const [sent, fetched] = [join(folder, "sent"), join(folder, "fetched")];
    writeFileSync(sent, randomBytes(100_000));
    assert.equal(virtpod("scp", ...options, sent, `${target}:there`).status, 0);
    assert.equal(virtpod("scp", ...options, `${target}:there`, fetched).status, 0);
    assert.ok(readFileSync(fetched).equals(readFileSync(sent)));
  });

  it("is asked by the command line for its system, users and file systems", () => {
    const mine = ["-n", guests.namespace, NAME, "-o"];
    assert.match(virtpod("guestosinfo", ...mine, "table").stdout, /^System: +Debian GNU\/Linux 13/);
    assert.match(virtpod("fslist", ...mine, "table").stdout, /^\/ +vda\d? +ext4 /m);
    assert.deepEqual(JSON.parse(virtpod("userlist", ...mine, "json").stdout), get("userlist"));
  });

  it("takes what is typed in the browser's page", async () => {
    const page = spawn(
      "node",
      ["cli/main.ts", "vnc", NAME, "-n", guests.namespace, "--browser", "--proxy-only"],
      {
        cwd: ROOT,
        env: { ...process.env, KUBECONFIG: kubeconfigPath() },
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const browser = await Browser.open(1280, 800);
    try {
      const [line] = (await once(page.stdout, "data")) as [Buffer];
      await browser.go((JSON.parse(line.toString()) as { readonly url: string }).url);
      await browser.until(`document.body.dataset.state === "connected"`);
      await browser.click(640, 400);
      for (const key of "typed") await browser.press(`Key${key.toUpperCase()}`, key);
      // What the first virtual terminal shows, as the kernel has it.
      await ssh.run(
        "for i in $(seq 30); do grep -aq 'login: typed' /dev/vcs1 && exit; sleep 1; done; exit 1",
      );
      mkdirSync(join(ROOT, "build/screenshots"), { recursive: true });
      writeFileSync(join(ROOT, "build/screenshots/vnc-browser-debian.png"), await browser.screenshot());
    } finally {
      page.kill("SIGKILL");
      await browser.close();
    }
  });

  it("runs the readinessProbe's command in the guest, and the VM is Ready as that says", async () => {
    const untilReady = (is: boolean) =>
      guests.untilVm(
        NAME,
        is ? "Ready" : "not Ready",
        STATUS_TIMEOUT_MS,
        ({ status }) => status?.ready === is,
      );
    await untilReady(false);
    await assert.rejects(
      probe("exec", "/usr/bin/test", "-e", HEALTHY),
      /\/usr\/bin\/test ended with status 1/,
    );
    await ssh.run(`touch ${HEALTHY}`);
    await untilReady(true);
    await ssh.run(`rm ${HEALTHY}`);
    await untilReady(false);
  });

  it("answers a ping, and its failures are told in words", async () => {
    assert.equal(await probe("ping"), "the guest agent answers\n");
    const command = ["exec", "/bin/sh", "-c", "kill -9 $$"];
    await assert.rejects(probe(...command), /was ended by signal 9/);
    await assert.rejects(probe("exec", "/no/such/program"), /No such file or directory/);
  });

  /** What the kubelet does for a probe. */
  async function probe(...what: string[]): Promise<string> {
    const { metadata } = await guests.pod(NAME);
    const command = [LAUNCHER_PATHS.probe, "readiness", "20", ...what];
    const { status, stdout, stderr } = spawnSync(
      clusterTool("kubectl"),
      ["exec", "--namespace", guests.namespace, metadata.name, "--", ...command],
      { encoding: "utf8", env: { ...process.env, KUBECONFIG: kubeconfigPath() } },
    );
    if (status !== 0) throw new Error(stdout + stderr);
    return stdout;
  }

  it("freezes the guest's file systems until they are unfrozen, or for the time asked for", async () => {
    const frozen = (is: boolean) =>
      guests.untilVmi(
        NAME,
        is ? "a frozen guest" : "a guest that writes",
        STATUS_TIMEOUT_MS,
        ({ status }) => status?.fsFreezeStatus === (is ? "frozen" : undefined),
      );
    put("freeze", { unfreezeTimeout: "5m0s" });
    await frozen(true);
    assert.equal(get<{ fsFreezeStatus: string }>("guestosinfo").fsFreezeStatus, "frozen");
    put("unfreeze", {});
    await frozen(false);

    const frozenAtMs = performance.now();
    put("freeze", { unfreezeTimeout: "12s" });
    const askedAtMs = performance.now();
    await ssh.run("echo x >/root/written; sync");
    const sinceFrozenMs = performance.now() - frozenAtMs;
    assert(sinceFrozenMs > 12_000, `written ${sinceFrozenMs} ms after the freeze was asked for`);
    assert(performance.now() - askedAtMs < 60_000);
    await frozen(false);
    assert.throws(() => put("freeze", {}), /unfreezeTimeout/);
  });

  it("gives the guest another key when the Secret changes", async () => {
    const secrets = guests.resource(SECRETS);
    await secrets.patch("keys", mergePatch({ stringData: { mine: second.publicKey } }));
    const line = second.publicKey.split(" ")[1] ?? "";
    // Asked over the connection that stands: the first key is no good for another.
    await ssh.run(
      `for i in $(seq ${SECRET_TIMEOUT_MS / 1000}); do grep -q ${line} ~${USER}/.ssh/authorized_keys && exit; sleep 1; done; exit 1`,
    );
    await ssh.close();
    await assert.rejects(ssh.run("true"), /Permission denied/);
    const { status } = await guests.untilVmi(NAME, "an address", STATUS_TIMEOUT_MS, () => true);
    ssh = new Ssh(second, USER, status?.interfaces?.[0]?.ipAddress ?? "");
    assert.equal((await ssh.run("id -u")).trim(), "0");
  });

  it("is told of when it stops and starts, and can't be asked meanwhile", async () => {
    await ssh.run("systemctl stop qemu-guest-agent");
    const { status } = await guests.untilVmi(
      NAME,
      "no agent",
      STATUS_TIMEOUT_MS,
      (seen) => conditionOf(seen.status?.conditions, "AgentConnected") === undefined,
    );
    assert.equal(status?.guestOSInfo?.id, "debian");
    assert.equal(status?.interfaces?.[0]?.infoSource, "domain");
    assert.throws(() => get("guestosinfo"), /Conflict.*no guest agent is connected/);
    await assert.rejects(probe("ping"), /no guest agent is connected/);
    assert.throws(() => put("freeze", { unfreezeTimeout: "5s" }), /Conflict.*no guest agent is connected/);
    await ssh.run("systemctl start qemu-guest-agent");
    await guests.untilVmi(NAME, "the agent", STATUS_TIMEOUT_MS, (seen) =>
      isTrue(seen.status?.conditions, "AgentConnected"),
    );
  });
});
