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
  resolver: "systemctl is-active --quiet systemd-resolved && readlink /etc/resolv.conf",
  hostKeys: "cd /etc/ssh; ls ssh_host_*_key | paste -sd,",
  passwords: "sudo cut -d: -f2 /etc/shadow | grep -c '^[$]'",
  passwordLogin: "sudo sshd -T | grep '^passwordauthentication '",
  datasource: "cut -d' ' -f2 /var/lib/cloud/instance/datasource",
  machineId: "wc -c </etc/machine-id",
  // Four bytes of attributes, then the variable's one (efivarfs.rst).
  secureBoot: "od -An -tu1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
};

type Answers = Record<keyof typeof questions, string>;

async function ask(guest: DebianGuest): Promise<Answers> {
  const lines = Object.entries(questions).map(([name, command]) => `echo "${name}=$(${command})"`);
  const said = await guest.ssh(lines.join("\n"));
  return Object.fromEntries(said.split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2))) as Answers;
}

// By a BIOS it is booted on the cluster, by the tests of disks.
describe("the Debian guest, booted with Secure Boot", () => {
  let guest: DebianGuest;
  let answers: Answers;

  before(async () => {
    guest = await bootGuest(await prepareMachine(), {
      firmware: "secure-boot",
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
  });

  test("was started by loaders and a kernel whose signatures the firmware checked", () => {
    assert.match(answers.secureBoot, / 1$/);
  });

  test("is what its cloud-init seed says", () => {
    assert.match(answers.datasource, /NoCloud/);
    assert.equal(answers.hostname, hostname);
    assert.equal(answers.written, "by cloud-init");
  });

  test("has a root file system of its disk's size", () => {
    assert.ok(Number(answers.rootBytes) > 4.7 * gibibyte, `the root has ${answers.rootBytes} bytes`);
  });

  test("has its address from systemd-networkd's lease, and resolves names by systemd-resolved", () => {
    assert.match(answers.address, /\b10\.0\.2\.15\/24/);
    assert.match(answers.network, /routable\s+configured/);
    assert.equal(answers.resolver, "../run/systemd/resolve/stub-resolv.conf");
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
