/** The launcher image's own firmware boots from the network as dhcpOptions say; needs root. */
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { before, describe, test } from "node:test";
import { Debian } from "../../images/debian.ts";
import { emulator, emulatorRoot } from "../../images/emulator.ts";
import { DhcpLab } from "./lab.fixture.ts";

const TFTP = new URL("./tftp.fixture.ts", import.meta.url).pathname;
/** SeaBIOS is there in seconds, OVMF in half a minute, under emulation and on a busy machine. */
const BOOT_TIMEOUT_MS = 180_000;
const GATEWAY = "10.244.0.1";
const BOOT_FILE = "boot.ipxe";

/** Settings of iPXE by DHCP code: what it was told, in a file name that its server sees. */
const TOLD = [
  "ip",
  "netmask",
  "gateway",
  "dns",
  "26:uint16",
  "15:string",
  "12:string",
  "42:ipv4",
  "224:string",
]
  .map((setting) => `\${net0/${setting}}`)
  .join("/");
const SCRIPT = `#!ipxe\nchain tftp://\${next-server}/told/${TOLD}\n`;
/** iPXE writes numbers in hexadecimal: 1400. */
const EXPECTED =
  `told/10.244.0.7/255.255.255.0/${GATEWAY}/10.96.0.10/0x578/` +
  "team.svc.cluster.local/machine/192.0.2.123/mine";

interface Firmware {
  readonly name: string;
  readonly argumentsOf: (root: string, folder: string) => readonly string[];
  /** What its server is asked for, in this order. */
  readonly asks: readonly string[];
}

const firmwares: readonly Firmware[] = [
  { name: "SeaBIOS with iPXE's ROM", argumentsOf: () => [], asks: [BOOT_FILE, EXPECTED] },
  {
    name: "OVMF's own client",
    argumentsOf: (root, folder) => {
      const variables = join(folder, "variables.fd");
      copyFileSync(join(root, "usr/share/OVMF/OVMF_VARS_4M.fd"), variables);
      const code = join(root, "usr/share/OVMF/OVMF_CODE_4M.fd");
      return [
        ...["-drive", `if=pflash,format=raw,readonly=on,file=${code}`],
        ...["-drive", `if=pflash,format=raw,file=${variables}`],
      ];
    },
    // The first time for its size. It is no program of EFI's, so that is all.
    asks: [BOOT_FILE, BOOT_FILE],
  },
];

describe("a guest that boots from the network", () => {
  let root: string;
  before(async () => {
    root = await emulatorRoot(new Debian());
  });

  for (const { name, argumentsOf, asks } of firmwares) {
    test(`by ${name} takes bootFileName from tftpServerName`, async () => {
      await using lab = await DhcpLab.start({
        clients: 1,
        dhcpOptions: {
          bootFileName: BOOT_FILE,
          tftpServerName: GATEWAY,
          ntpServers: ["192.0.2.123"],
          privateOptions: [{ option: 224, value: "mine" }],
        },
      });
      const client = lab.client(0);
      // qemu stands where the client's namespace was: on the same bridge, with its MAC.
      lab.inside(lab.serverNetns, "ip", "link", "delete", "dev", `${client.link}-v`);
      lab.inside(lab.serverNetns, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap");
      lab.inside(
        lab.serverNetns,
        "ip",
        "link",
        "set",
        "dev",
        "tap0",
        "mtu",
        "1400",
        "master",
        client.link,
        "up",
      );
      const files = JSON.stringify({ [BOOT_FILE]: SCRIPT });
      const tftp = lab.start(lab.serverNetns, process.execPath, TFTP, files);
      assert.ok(tftp.stdout);
      const asked = createInterface({ input: tftp.stdout, signal: AbortSignal.timeout(BOOT_TIMEOUT_MS) });
      const lines = asked[Symbol.asyncIterator]();
      const next = async (): Promise<string> => {
        const line = await lines.next();
        return line.done === true ? assert.fail("the guest asked for nothing in time") : line.value;
      };
      assert.equal(await next(), JSON.stringify({ listening: true }));
      lab.start(
        lab.serverNetns,
        ...emulator(root),
        ...["-machine", "q35", "-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none"],
        ...argumentsOf(root, lab.folder),
        ...["-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no"],
        ...["-device", `virtio-net-pci,netdev=net0,mac=${client.macAddress},bootindex=1`],
        ...["-device", "virtio-rng-pci"],
      );
      for (const file of asks) assert.equal(await next(), JSON.stringify({ asked: file }));
      assert.equal(await lab.next(), `leased ${client.macAddress}`);
    });
  }
});
