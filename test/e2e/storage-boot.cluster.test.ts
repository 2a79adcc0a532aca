/** A Debian guest that boots by EFI from a SCSI disk, and is configured by a config drive. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { SECRETS } from "../../kube/resources.ts";
import { booted, debian, root, userData } from "../harness/debian.ts";
import { Guests } from "../harness/guest.ts";
import { Ssh, SshKey } from "../harness/ssh.ts";
import { loadDebianImage } from "../harness/storage.ts";

const USER = "tester";

describe("a Debian guest that boots by EFI", { concurrency: 1 }, () => {
  const key = new SshKey();
  const credential = new SshKey();
  let guests: Guests;
  let ssh: Ssh;
  before(async () => {
    loadDebianImage();
    guests = await Guests.open("storage-boot");
    await guests
      .resource(SECRETS)
      .create({ metadata: { name: "keys" }, stringData: { anybody: credential.publicKey } });
    const drive = { name: "drive", cloudInitConfigDrive: { userData: userData(USER, key.publicKey) } };
    await guests.create(
      "efi",
      debian(
        [{ ...root, disk: { bootOrder: 1, disk: { bus: "scsi" } } }, { volume: drive }],
        { firmware: { bootloader: { efi: { secureBoot: false } } }, devices: { rng: {}, tpm: {} } },
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
    const { address } = await booted(guests, "efi");
    ssh = new Ssh(key, USER, address);
  });
  after(async () => {
    await ssh?.close();
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
    assert.match(await ssh.run("cat /sys/class/misc/hw_random/rng_current"), /virtio/);
  });

  it("tpm: the firmware has told a TPM 2.0 what it started", async () => {
    assert.equal((await ssh.run("cat /sys/class/tpm/tpm0/tpm_version_major")).trim(), "2");
    assert.match(await ssh.run("cat /sys/class/tpm/tpm0/pcr-sha256/4"), /[1-9A-F]/);
  });
});
