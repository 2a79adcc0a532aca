/**
 * A Debian guest that boots by EFI from a SCSI disk, is configured by a config drive, and has its network by
 * systemd-networkd. One guest for all of it: nothing else here takes as long as such a boot.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Pod, SECRETS } from "../../kube/resources.ts";
import { capture } from "../harness/command.ts";
import { booted, debian, root, userData } from "../harness/debian.ts";
import { eventually } from "../harness/eventually.ts";
import { Guests } from "../harness/guest.ts";
import { processesOf } from "../harness/node.ts";
import { Ssh, SshKey } from "../harness/ssh.ts";
import { loadDebianImage } from "../harness/storage.ts";

const USER = "tester";
const SERVER = "169.254.75.10";
/** The first card behind the first root port. */
const LINK = "enp1s0";
const ASKS_FOR_ALL = [
  ...["[Match]", `Name=${LINK}`, "[Network]", "DHCP=ipv4"],
  ...["[DHCPv4]", "UseMTU=yes", "UseDomains=yes", ""],
].join("\\n");
const DHCP_OPTIONS = {
  ntpServers: ["192.0.2.123"],
  tftpServerName: "192.0.2.9",
  bootFileName: "boot.ipxe",
  privateOptions: [{ option: 224, value: "mine" }],
};

describe("a Debian guest that boots by EFI", { concurrency: 1 }, () => {
  const key = new SshKey();
  const credential = new SshKey();
  let guests: Guests;
  let ssh: Ssh;
  let pod: Pod;
  let address: string;
  before(async () => {
    loadDebianImage();
    guests = await Guests.open("debian");
    await guests
      .resource(SECRETS)
      .create({ metadata: { name: "keys" }, stringData: { anybody: credential.publicKey } });
    const drive = { name: "drive", cloudInitConfigDrive: { userData: userData(USER, key.publicKey) } };
    await guests.create(
      "efi",
      debian(
        [{ ...root, disk: { bootOrder: 1, disk: { bus: "scsi" } } }, { volume: drive }],
        {
          firmware: { bootloader: { efi: { secureBoot: false } } },
          devices: {
            rng: {},
            tpm: {},
            interfaces: [{ name: "default", bridge: {}, dhcpOptions: DHCP_OPTIONS }],
          },
        },
        {
          accessCredentials: [
            {
              sshPublicKey: {
                source: { secret: { secretName: "keys" } },
                propagationMethod: { configDrive: {} },
              },
            },
          ],
        },
      ),
    );
    ({ pod, address } = await booted(guests, "efi"));
    ssh = new Ssh(key, USER, address);
  });
  after(async () => {
    await ssh?.close().catch(() => {});
    for (const one of [key, credential]) one.remove();
    await guests.close();
  });

  it("has EFI's variables, and its root on the SCSI disk", async () => {
    assert.match(await ssh.run("ls /sys/firmware/efi/efivars"), /^Boot0000-/m);
    assert.match(await ssh.run("findmnt --noheadings --output SOURCE /"), /^\/dev\/sd/);
  });

  it("cloudInitConfigDrive: cloud-init took its user data and the key of the access credentials", async () => {
    const result = await ssh.json<{ v1: { datasource: string; errors: string[] } }>(
      "cat /run/cloud-init/result.json",
    );
    assert.match(result.v1.datasource, /^DataSourceConfigDrive /);
    assert.deepEqual(result.v1.errors, []);
    const metadata = await ssh.run("cloud-init query --format '{{ds.meta_data.public_keys}}'");
    assert.ok(metadata.includes(credential.publicKey.split(" ")[1] ?? "?"), metadata);
  });

  it("rng: has a hardware random number generator", async () => {
    assert.match(await ssh.run("cat /sys/class/misc/hw_random/rng_available"), /virtio_rng/);
  });

  it("tpm: the firmware has told a TPM 2.0 what it started", async () => {
    assert.equal((await ssh.run("cat /sys/class/tpm/tpm0/tpm_version_major")).trim(), "2");
    assert.match(await ssh.run("cat /sys/class/tpm/tpm0/pcr-sha256/4"), /[1-9A-F]/);
  });

  describe("by systemd-networkd", { concurrency: 1 }, () => {
    /** networkd's own notes of its lease. */
    let told: string;
    const noted = (name: string): string | undefined => new RegExp(`^${name}=(.*)$`, "m").exec(told)?.[1];

    before(async () => {
      // cloud-init's own file for the card asks for neither.
      const file = "/etc/systemd/network/05-test.network";
      await ssh.run(
        `printf '${ASKS_FOR_ALL}' >${file}; networkctl reload; networkctl reconfigure ${LINK}; ` +
          `/usr/lib/systemd/systemd-networkd-wait-online --interface=${LINK}:routable --timeout=60`,
      );
      told = await ssh.run("cat /run/systemd/netif/leases/*");
    });

    it("has the pod's address and routes", async () => {
      assert.equal(noted("ADDRESS"), address, told);
      assert.equal(noted("SERVER_ADDRESS"), SERVER);
      const router = noted("ROUTER") ?? "none";
      assert.match(
        await ssh.run("ip -4 address show scope global"),
        new RegExp(`inet ${address}/.* dynamic`),
      );
      assert.match(
        await ssh.run("ip route"),
        new RegExp(`^default via ${router} dev ${LINK} proto dhcp`, "m"),
      );
      assert.match(noted("CLASSLESS_ROUTES") ?? "", new RegExp(`0\\.0\\.0\\.0/0,${router}`));
    });

    it("has the pod network's MTU, and half a day until it renews", async () => {
      assert.equal(noted("MTU"), "1500", told);
      assert.match(await ssh.run(`ip link show dev ${LINK}`), / mtu 1500 /);
      assert.deepEqual(["LIFETIME", "T1", "T2"].map(noted), ["1d", "12h", "21h"], told);
    });

    it("resolves by the cluster's DNS, with its search list", async () => {
      const answer = await ssh.run(`resolvectl dns ${LINK}; resolvectl domain ${LINK}`);
      const said = answer.replaceAll(/\s+/g, " ");
      const search = `${guests.namespace}.svc.cluster.local svc.cluster.local cluster.local`;
      assert.match(said, new RegExp(`\\): ${noted("DNS") ?? "none"} `));
      assert.match(said, new RegExp(`\\): ${search} `));
      assert.match(await ssh.run("getent hosts kubernetes.default.svc.cluster.local"), /^10\.96\.0\.1 /);
    });

    it("is told of dhcpOptions", () => {
      assert.equal(noted("NTP"), "192.0.2.123", told);
      assert.equal(noted("OPTION_224"), Buffer.from("mine").toString("hex"), told);
    });

    it("renews by unicast to its launcher", async () => {
      const before = unicasts(pod);
      await ssh.run(`networkctl renew ${LINK}`);
      await eventually(async () => {
        assert.notEqual(unicasts(pod), before, "no unicast reached the launcher");
      }, 60_000);
      assert.match(await ssh.run(`networkctl status ${LINK}`), /routable/);
    });
  });
});

/** Packets of the guest's to its launcher, as the guard counted them. */
function unicasts(pod: Pod): number {
  const [first] = processesOf(pod.metadata.uid);
  assert.ok(first, `pod ${pod.metadata.name} has no process on this machine`);
  const rules = capture("nsenter", [
    `--net=/proc/${first.pid}/ns/net`,
    "nft",
    "list",
    "chain",
    "bridge",
    "virtpod",
    "from-tap0",
  ]);
  const packets = /counter packets (\d+) .*comment "to-launcher/.exec(rules)?.[1];
  assert.ok(packets !== undefined, rules);
  return Number(packets);
}
