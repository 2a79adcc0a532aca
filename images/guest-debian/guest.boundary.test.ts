import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { bootGuest, type DebianGuest, hostname, prepareMachine } from "./boot.ts";

const gibibyte = 2 ** 30;

/** What a guest says of itself, each as one line `name=value`, in one login: each costs seconds under emulation. */
const questions = {
  hostname: "hostname",
  debian: ". /etc/os-release; echo $ID $VERSION_ID",
  written: "cat /srv/written",
  failed: "systemctl --failed --no-legend --plain | paste -sd,",
  rootBytes: "findmnt --bytes --noheadings --output SIZE /",
  cgroups: "stat --file-system --format=%T /sys/fs/cgroup",
  address: "ip -4 -brief address show scope global | paste -sd,",
  network: "networkctl --no-legend --no-pager list 'en*' | paste -sd,",
  nameserver: "resolvectl dns | grep -c :.*[0-9]",
  hostKeys: "cd /etc/ssh; ls ssh_host_*_key | paste -sd,",
  passwords: "sudo cut -d: -f2 /etc/shadow | grep -c '^[$]'",
  passwordLogin: "sudo sshd -T | grep '^passwordauthentication '",
  datasource: "cut -d' ' -f2 /var/lib/cloud/instance/datasource",
  machineId: "wc -c </etc/machine-id",
  firmware: "[ -d /sys/firmware/efi ] && echo efi || echo bios",
  lockdown: "cat /sys/kernel/security/lockdown",
};

type Answers = Record<keyof typeof questions, string>;

async function ask(guest: DebianGuest): Promise<Answers> {
  const lines = Object.entries(questions).map(([name, command]) => `echo "${name}=$(${command})"`);
  const said = await guest.ssh(lines.join("\n"));
  return Object.fromEntries(said.split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2))) as Answers;
}

describe("the Debian guest, booted by a BIOS", () => {
  let guest: DebianGuest;
  let answers: Answers;

  before(async () => {
    guest = await bootGuest(await prepareMachine(), {
      diskSize: 5 * gibibyte,
      userData: { write_files: [{ path: "/srv/written", content: "by cloud-init" }] },
    });
    await guest.configured();
    await guest.listening();
    answers = await ask(guest);
  });
  after(() => guest[Symbol.asyncDispose]());

  test("is Debian 13, and nothing in it failed", () => {
    assert.equal(answers.debian, "debian 13");
    assert.equal(answers.failed, "");
    assert.equal(answers.firmware, "bios");
  });

  test("is what its cloud-init seed says", () => {
    assert.match(answers.datasource, /NoCloud/);
    assert.equal(answers.hostname, hostname);
    assert.equal(answers.written, "by cloud-init");
  });

  test("has a root file system of its disk's size", () => {
    assert.ok(Number(answers.rootBytes) > 4.7 * gibibyte, `the root has ${answers.rootBytes} bytes`);
  });

  test("has its address and its name server from systemd-networkd's lease", () => {
    assert.match(answers.address, /\b10\.0\.2\.15\/24/);
    assert.match(answers.network, /routable\s+configured/);
    assert.notEqual(answers.nameserver, "0");
  });

  test("has host keys and a machine id of its own", () => {
    assert.equal(answers.hostKeys, "ssh_host_ecdsa_key,ssh_host_ed25519_key");
    assert.equal(answers.machineId, "33");
  });

  test("lets nobody in by a password", () => {
    assert.equal(answers.passwords, "0");
    assert.equal(answers.passwordLogin, "passwordauthentication no");
  });

  test("has one tree of cgroups, version 2", () => {
    assert.equal(answers.cgroups, "cgroup2fs");
  });

  test("answers its guest agent, and asks for a login on its serial console", async () => {
    assert.deepEqual(await guest.agent("guest-ping"), {});
    await guest.line(new RegExp(`${hostname} ttyS0`));
  });

  test("powers off when its power button is pressed", async () => {
    await guest.monitor("system_powerdown");
    await guest.ended;
  });
});
