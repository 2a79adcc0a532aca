/**
 * The guest agent through a real launcher, libvirtd, qemu and guest. The agent itself is a fake one outside: the
 * guest's shell passes the lines of the channel on to its console.
 */
import assert from "node:assert/strict";
import { mkdir, readFile, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { before, describe, it, type TestContext } from "node:test";
import type { GuestAgentInfo } from "../../api/guest-agent.ts";
import type { LaunchSpec } from "../../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import { type Machine, prepareMachine } from "../../images/guest-tiny/boot.ts";
import type { Http2Client } from "../../transport/client.ts";
import { type Container, statusWhere } from "../testing/container.ts";
import { attach, BOOTED, startContainer, tinySpec } from "../testing/guest.ts";
import { type Answer, type Answers, FakeGuestAgent, HONEST_ANSWERS } from "./fake-guest-agent.ts";

/** Lines to the guest's relay that are none of an agent's. */
const CLOSE = "@close\n";
const OPEN = "@open\n";
const HUGE = "@huge\n";

/** Reads the console line by line; `exec 3<>` opens the channel, which is what connects an agent. */
const RELAY = [
  "stty raw -echo",
  `{ echo -n '{"return":"'; head -c 3000000 /dev/zero | tr '\\0' x; echo '"}'; } >/tmp/huge`,
  "exec 3<>/dev/vport0p1",
  // A port whose other end isn't there yet reads as its end.
  "pump() { while :; do cat <&3; sleep 0.1; done; }",
  "pump & relay=$!",
  "echo relay=begin''s",
  "while IFS= read -r line",
  'do case "$line" in @close) kill $relay',
  "killall cat",
  "exec 3>&- ;; @open) exec 3<>/dev/vport0p1",
  'pump & relay=$! ;; @huge) cat /tmp/huge >&3 ;; *) echo "$line" >&3 ;; esac',
  "done\n",
].join("; ");

let machine: Machine;

interface Bench {
  readonly container: Container;
  /** Of the node's agent. */
  readonly agent: Http2Client;
  readonly guestAgent: FakeGuestAgent;
  readonly console: Duplex;
  /** What is mounted at LAUNCHER_PATHS.volumes. */
  readonly volumes: string;
}

async function booted(
  t: TestContext,
  {
    answers = HONEST_ANSWERS,
    spec = tinySpec(),
    fill,
  }: {
    readonly answers?: Answers;
    readonly spec?: LaunchSpec;
    readonly fill?: (volumes: string) => Promise<void>;
  } = {},
): Promise<Bench> {
  let volumes = "";
  const container = await startContainer(t, machine, spec, {
    fillVolumes: async (directory) => {
      volumes = directory;
      await fill?.(directory);
    },
  });
  const agent = await attach(container);
  await container.printed(BOOTED);
  const console = await agent.open("/v1/console");
  return { container, agent, console, volumes, guestAgent: await relayed(console, answers) };
}

/** From then on the console carries the channel's lines and nothing else. */
async function relayed(console: Duplex, answers: Answers): Promise<FakeGuestAgent> {
  let text = "";
  const begun = new Promise<void>((resolve, reject) => {
    const overdue = () => reject(new Error(`the guest's relay never began:\n${text}`));
    const deadline = setTimeout(overdue, 20_000);
    const read = (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (!text.includes("relay=begins")) return;
      console.off("data", read);
      clearTimeout(deadline);
      resolve();
    };
    console.on("data", read);
  });
  const guestAgent = new FakeGuestAgent(console, answers);
  console.write(RELAY);
  await begun;
  return guestAgent;
}

describe("a guest agent", { timeout: 300_000 }, () => {
  before(async () => {
    machine = await prepareMachine();
  });

  it("is told of with what it says, answers for what it said, and is told when it leaves and comes", async (t) => {
    const { agent, console } = await booted(t);
    const { guestAgent } = await statusWhere(agent, (status) => status.guestAgent !== undefined);
    assert.equal(guestAgent?.os?.prettyName, "Debian GNU/Linux 13 (trixie)");
    assert.deepEqual(
      guestAgent.interfaces.map(({ interfaceName }) => interfaceName),
      ["enp1s0", "docker0"],
    );
    assert.deepEqual([guestAgent.frozen, guestAgent.unsupported], [false, undefined]);
    const info = (await agent.request("GET", "/v1/guest-agent")) as GuestAgentInfo;
    assert.deepEqual(
      [info.hostname, info.timezone?.offset, info.users.length, info.fileSystems.length, info.agentVersion],
      ["guest", 3600, 1, 1, "10.0.2"],
    );

    console.write(CLOSE);
    await statusWhere(agent, (status) => status.guestAgent === undefined);
    const absent = { status: 409, code: "GuestAgentNotConnected" };
    await assert.rejects(agent.request("GET", "/v1/guest-agent"), absent);
    const freeze = { body: { unfreezeTimeoutSeconds: 0 } };
    await assert.rejects(agent.request("POST", "/v1/freeze", freeze), absent);
    console.write(OPEN);
    await statusWhere(agent, (status) => status.guestAgent?.os !== undefined);
  });

  it("is found again after the death of libvirtd", async (t) => {
    const { agent, container } = await booted(t);
    await statusWhere(agent, (status) => status.guestAgent !== undefined);
    const [libvirtd = 0] = await container.processes("libvirtd");
    // Asked for before: it is so only until the next libvirtd is there.
    const lost = statusWhere(agent, (status) => status.guestAgent === undefined);
    process.kill(libvirtd, "SIGKILL");
    await lost;
    await statusWhere(agent, (status) => status.guestAgent?.os !== undefined);
  });

  it("that doesn't answer is told of without a word, holds up nothing, and is heard once it does", async (t) => {
    const late: (() => void)[] = [];
    const silent = () => new Promise<Answer>((resolve) => late.push(() => resolve({ value: "too late" })));
    const answers = Object.fromEntries(Object.keys(HONEST_ANSWERS).map((name) => [name, silent]));
    const { agent, container, guestAgent } = await booted(t, { answers });
    while (guestAgent.commands.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const askedAtMs = performance.now();
    await agent.request("POST", "/v1/pause");
    await agent.request("POST", "/v1/unpause");
    const elapsedMs = performance.now() - askedAtMs;
    t.diagnostic(`pause and unpause beside a silent agent: ${elapsedMs.toFixed(0)} ms`);
    assert(elapsedMs < 2_000, `${elapsedMs} ms`);
    const status = await statusWhere(agent, (told) => told.guestAgent !== undefined);
    assert.deepEqual(status.guestAgent, { interfaces: [], frozen: false });
    guestAgent.answers = HONEST_ANSWERS;
    for (const answer of late) answer();
    await statusWhere(agent, (told) => told.guestAgent?.os?.id === "debian");
    await container.stop();
    assert.equal(await container.exited(), 0);
  });

  it("that answers with nonsense, too much, or a refusal costs that answer and no more", async (t) => {
    const answers: Answers = {
      ...HONEST_ANSWERS,
      "guest-get-osinfo": () => ({ value: "Debian" }),
      "guest-get-host-name": () => ({ error: "who knows" }),
      "guest-network-get-interfaces": () => ({
        value: [{ name: 7 }, null, { name: "eth0", "ip-addresses": "x" }],
      }),
      "guest-get-users": () => ({ raw: HUGE }),
    };
    const { agent, container } = await booted(t, { answers });
    const status = await statusWhere(agent, (told) => told.guestAgent !== undefined);
    assert.deepEqual(status.guestAgent?.interfaces, [{ interfaceName: "eth0", ipAddresses: [] }]);
    assert.equal(status.guestAgent.os, undefined);
    const { hostname, timezone } = (await agent.request("GET", "/v1/guest-agent")) as GuestAgentInfo;
    assert.deepEqual([hostname, timezone?.zone], [undefined, "CET"]);
    const [node = 0] = await container.processes("node");
    t.diagnostic(`the launcher has ${await anonymousMiB(node)} MiB of its own`);
    assert((await anonymousMiB(node)) < 80);
    await container.stop();
    assert.equal(await container.exited(), 0);
  });

  it("freezes its guest, and the guest writes again at the latest when its time is over", async (t) => {
    let isFrozen = false;
    const answers: Answers = {
      ...HONEST_ANSWERS,
      "guest-fsfreeze-status": () => ({ value: isFrozen ? "frozen" : "thawed" }),
      "guest-fsfreeze-freeze": () => {
        isFrozen = true;
        return { value: 2 };
      },
      "guest-fsfreeze-thaw": () => {
        isFrozen = false;
        return { value: 2 };
      },
    };
    const { agent, guestAgent } = await booted(t, { answers });
    await statusWhere(agent, (told) => told.guestAgent?.frozen === false);
    await agent.request("POST", "/v1/freeze", { body: { unfreezeTimeoutSeconds: 0 } });
    assert.equal(isFrozen, true);
    await statusWhere(agent, (told) => told.guestAgent?.frozen === true);
    // Frozen already: the time begins anew, the guest's hooks don't run again.
    await agent.request("POST", "/v1/freeze", { body: { unfreezeTimeoutSeconds: 2 } });
    await statusWhere(agent, (told) => told.guestAgent?.frozen === false);
    assert.equal(isFrozen, false);
    await agent.request("POST", "/v1/unfreeze");
    assert.deepEqual(
      guestAgent.commands.filter((name) => name.startsWith("guest-fsfreeze-") && !name.endsWith("status")),
      ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"],
    );
    for (const body of [{}, { unfreezeTimeoutSeconds: -1 }, { unfreezeTimeoutSeconds: 1e9 }]) {
      await assert.rejects(agent.request("POST", "/v1/freeze", { body }), { status: 400 });
    }
  });

  it("sets keys and passwords, again when a Secret changes, and tells what it can't", async (t) => {
    const given: unknown[] = [];
    const take = (argument: unknown) => {
      given.push(argument);
      return { value: {} };
    };
    const answers: Answers = {
      ...HONEST_ANSWERS,
      "guest-ssh-add-authorized-keys": take,
      "guest-set-user-password": (argument) =>
        (argument as { username: string }).username === "nobody"
          ? { error: "there is no user nobody" }
          : take(argument),
    };
    const spec = tinySpec({
      accessCredentials: [
        {
          kind: "sshPublicKey",
          directory: `${LAUNCHER_PATHS.volumes}/keys`,
          propagation: "qemuGuestAgent",
          users: ["debian"],
        },
        {
          kind: "userPassword",
          directory: `${LAUNCHER_PATHS.volumes}/passwords`,
          propagation: "qemuGuestAgent",
        },
      ],
    });
    const fill = async (volumes: string) => {
      await mountSecret(join(volumes, "keys"), { mine: "ssh-ed25519 AAAA me\n# a comment\n" });
      await mountSecret(join(volumes, "passwords"), { debian: "secret\n" });
    };
    const { agent, volumes } = await booted(t, { answers, spec, fill });
    await statusWhere(agent, (told) => told.accessCredentials?.synchronized === true);
    const password = {
      username: "debian",
      password: Buffer.from("secret").toString("base64"),
      crypted: false,
    };
    assert.deepEqual(given, [{ username: "debian", keys: ["ssh-ed25519 AAAA me"], reset: true }, password]);

    await mountSecret(join(volumes, "passwords"), { nobody: "x" });
    const failed = await statusWhere(agent, (told) => told.accessCredentials?.synchronized === false);
    assert.match(
      failed.accessCredentials?.message ?? "",
      /password of user nobody .*there is no user nobody/,
    );
    given.splice(0);
    await mountSecret(join(volumes, "passwords"), { debian: "secret" });
    await statusWhere(agent, (told) => told.accessCredentials?.synchronized === true);
    assert.deepEqual(given.at(-1), password);
  });
});

let versions = 0;

/** Replaces a Secret's content as the kubelet does: the files are links through `..data`, which is renamed over. */
async function mountSecret(directory: string, files: Readonly<Record<string, string>>): Promise<void> {
  const version = `..version-${versions++}`;
  await mkdir(join(directory, version), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, version, name), text);
  await symlink(version, join(directory, "..data_tmp"));
  await rename(join(directory, "..data_tmp"), join(directory, "..data"));
  for (const name of Object.keys(files)) {
    await symlink(join("..data", name), join(directory, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}

async function anonymousMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1]) / 1024);
}
