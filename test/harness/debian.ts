/** VMs of the Debian guest: systemd, cloud-init, sshd; about half a minute to its login under emulation. */
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { Pod } from "../../kube/resources.ts";
import { untilLogged, untilStarted } from "./cluster.ts";
import type { Changes, Guests } from "./guest.ts";
import { DEBIAN_IMAGE, type GuestDisk, withDisks } from "./storage.ts";

type VmiSpec = VirtualMachine["spec"]["template"]["spec"];

/** Half a minute under emulation, and several where other work has the CPUs. */
const BOOT_TIMEOUT_MS = 480_000;
const BOOTED = "cloud-init has done its work";

export const root: GuestDisk = {
  volume: { name: "root", containerDisk: { image: DEBIAN_IMAGE } },
  disk: { bootOrder: 1 },
};

/** User data that lets `user` in with a key, and tells on the console when cloud-init is done. */
export function userData(user: string, publicKey: string): string {
  return [
    "#cloud-config",
    `users: [{name: ${user}, shell: /bin/bash, sudo: "ALL=(ALL) NOPASSWD:ALL", ssh_authorized_keys: ["${publicKey}"]}]`,
    `runcmd: [[sh, -c, "echo ${BOOTED} >/dev/ttyS0"]]`,
    "",
  ].join("\n");
}

/** What the example is changed to: its firmware and disks are the Debian guest's. */
export function debian(
  disks: readonly GuestDisk[],
  domain: Partial<VmiSpec["domain"]> = {},
  spec: Changes["spec"] = {},
): Changes {
  const own = withDisks(disks, { interfaces: [{ name: "default", bridge: {} }], ...domain.devices });
  return {
    spec: { terminationGracePeriodSeconds: 30, ...spec, ...own.spec },
    domain: { memory: { guest: "512Mi" }, firmware: {}, ...domain, devices: own.devices },
  };
}

/** The guest's launcher pod and address, once cloud-init is done. */
export async function booted(
  guests: Guests,
  name: string,
): Promise<{ readonly pod: Pod; readonly address: string }> {
  await guests.untilVmi(name, "phase Running", BOOT_TIMEOUT_MS, ({ status }) => status?.phase === "Running");
  const where = { namespace: guests.namespace, name: (await guests.pod(name)).metadata.name };
  const pod = await untilStarted(guests.client, where, BOOT_TIMEOUT_MS);
  await untilLogged(guests.client, where, new RegExp(BOOTED), BOOT_TIMEOUT_MS);
  return { pod, address: pod.status?.podIP ?? "" };
}
