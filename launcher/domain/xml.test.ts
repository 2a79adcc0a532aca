import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { XMLParser } from "fast-xml-parser";
import type { HugepageBytes, LaunchDisk, LaunchInterface, LaunchSpec } from "../../api/launch-spec.ts";
import { DomainXmlError, type ResolvedDisk } from "./resources.ts";
import { anySpec, attachment, resourcesOf, SMALL_SPEC } from "./spec.fixture.ts";
import { domainXml } from "./xml.ts";

const LISTS = ["disk", "interface", "controller", "graphics", "rng", "entry"];
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "",
  trimValues: false,
  parseTagValue: false,
  htmlEntities: true,
  isArray: (name) => LISTS.includes(name),
});

const DISK: LaunchDisk = {
  name: "root",
  device: "disk",
  bus: "virtio",
  readonly: false,
  source: { kind: "emptyDisk", path: "/d", capacityBytes: 1 },
};
const NIC: LaunchInterface = {
  name: "default",
  binding: "bridge",
  podInterface: "eth0",
  model: "virtio",
  queues: 1,
};

function parse(spec: LaunchSpec) {
  return parser.parse(domainXml(spec, resourcesOf(spec))).domain;
}

function isCode(code: DomainXmlError["code"]): (error: unknown) => boolean {
  return (error) => error instanceof DomainXmlError && error.code === code;
}

describe("domain XML", () => {
  it("of a small guest is this", () => {
    const spec = { ...SMALL_SPEC, disks: [DISK], interfaces: [NIC] };
    assert.equal(
      domainXml(spec, resourcesOf(spec)),
      `<domain type="qemu">
  <name>default_small</name>
  <uuid>5d2f0c0e-7f8b-4d7e-9a51-0e6f3a1c2b4d</uuid>
  <memory unit="KiB" dumpCore="off">65536</memory>
  <vcpu placement="static">1</vcpu>
  <sysinfo type="smbios">
    <system>
      <entry name="manufacturer">virtpod</entry>
      <entry name="product">VirtualMachineInstance</entry>
      <entry name="uuid">5d2f0c0e-7f8b-4d7e-9a51-0e6f3a1c2b4d</entry>
    </system>
  </sysinfo>
  <os>
    <type arch="x86_64" machine="q35">hvm</type>
    <smbios mode="sysinfo"/>
  </os>
  <features>
    <acpi/>
    <apic/>
    <vmport state="off"/>
    <tcg>
      <tb-cache unit="MiB">32</tb-cache>
    </tcg>
  </features>
  <cpu mode="maximum" check="none">
    <topology sockets="1" dies="1" cores="1" threads="1"/>
  </cpu>
  <clock offset="utc"/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <pm>
    <suspend-to-mem enabled="no"/>
    <suspend-to-disk enabled="no"/>
  </pm>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type="pci" index="1" model="pcie-root-port">
      <address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x0"/>
    </controller>
    <controller type="usb" index="0" model="none"/>
    <controller type="virtio-serial" index="0" model="virtio-non-transitional" ports="2">
      <address type="pci" domain="0x0000" bus="0x00" slot="0x04" function="0x0"/>
    </controller>
    <interface type="ethernet">
      <mac address="02:00:00:00:00:01"/>
      <target dev="tap0" managed="no"/>
      <model type="virtio-non-transitional"/>
      <mtu size="1450"/>
      <rom enabled="no"/>
      <alias name="ua-default"/>
      <address type="pci" domain="0x0000" bus="0x01" slot="0x00" function="0x0"/>
    </interface>
    <disk type="file" device="disk" model="virtio-non-transitional">
      <driver name="qemu" type="qcow2" cache="none" error_policy="stop" io="threads" discard="unmap"/>
      <source file="/run/d/root.qcow2"/>
      <target dev="vda" bus="virtio"/>
      <boot order="1"/>
      <alias name="ua-root"/>
      <address type="pci" domain="0x0000" bus="0x00" slot="0x05" function="0x0"/>
    </disk>
    <serial type="unix">
      <source mode="bind" path="/run/d/serial.sock"/>
      <target type="isa-serial" port="0"/>
    </serial>
    <channel type="unix">
      <source mode="bind" path="/run/d/agent.sock"/>
      <target type="virtio" name="org.qemu.guest_agent.0"/>
    </channel>
    <memballoon model="virtio-non-transitional" freePageReporting="on">
      <stats period="10"/>
      <address type="pci" domain="0x0000" bus="0x00" slot="0x06" function="0x0"/>
    </memballoon>
    <panic model="isa"/>
  </devices>
</domain>
`,
    );
  });

  it("says what the LaunchSpec says, whatever that is", () => {
    fc.assert(
      fc.property(anySpec, (spec) => {
        const { domain, disks, interfaces } = spec;
        const xml = parse(spec);
        const { sockets, cores, threads } = domain.cpu;
        assert.equal(xml.type, domain.accelerator === "kvm" ? "kvm" : "qemu");
        assert.equal(xml.uuid, domain.uuid);
        assert.equal(Number(xml.memory["#text"]), Math.ceil(domain.memoryBytes / 1024));
        assert.equal(Number(xml.vcpu["#text"]), sockets * cores * threads);
        assert.equal(xml.os.cmdline ?? "", domain.kernelBoot?.kernelArgs ?? "");
        assert.deepEqual(
          (xml.devices.disk ?? []).map((disk: DiskXml) => [
            disk.alias.name,
            disk.target.bus,
            disk.device,
            disk.driver.cache,
            disk.serial,
            disk.readonly !== undefined,
          ]),
          disks.map(({ name, bus, device, cache, serial, readonly }) => [
            `ua-${name}`,
            bus,
            device,
            cache ?? "none",
            serial,
            readonly || device === "cdrom",
          ]),
        );
        assert.deepEqual(
          (xml.devices.interface ?? []).map((nic: InterfaceXml) => [nic.alias.name, nic.target.dev]),
          interfaces.map(({ name }, index) => {
            const isTaken = disks.some((disk) => disk.name === name);
            return [isTaken ? `ua-${name}_interface` : `ua-${name}`, `tap${index}`];
          }),
        );
        assert.equal(xml.devices.graphics !== undefined, domain.graphics);
        assert.equal(xml.devices.serial !== undefined, domain.serialConsole);
        assert.equal(xml.devices.memballoon.model !== "none", domain.memBalloon);
        assert.equal(xml.devices.rng !== undefined, domain.rng);
        assert.equal(xml.devices.tpm !== undefined, domain.tpm === true);
        assert.equal(Number(xml.memoryBacking?.hugepages.page.size ?? 0) * 1024, domain.hugepageBytes ?? 0);
      }),
    );
  });

  it("puts cards where they are wanted, and the others behind the first root ports that are free", () => {
    const interfaces = [
      { ...NIC, name: "a" },
      { ...NIC, name: "b", pciAddress: "0000:01:00.0" },
      { ...NIC, name: "c", pciAddress: "0000:00:04.0", model: "e1000" as const, acpiIndex: 7 },
      { ...NIC, name: "d", linkState: "down" as const },
    ];
    const { interface: cards, controller } = parse({ ...SMALL_SPEC, interfaces }).devices;
    assert.deepEqual(
      cards.map(({ address }: InterfaceXml) => `${address.bus}:${address.slot}`),
      ["0x02:0x00", "0x01:0x00", "0x00:0x04", "0x03:0x00"],
    );
    assert.deepEqual(
      cards.map(({ acpi, link }: InterfaceXml) => [acpi?.index, link?.state]),
      [
        [undefined, undefined],
        [undefined, undefined],
        ["7", undefined],
        [undefined, "down"],
      ],
    );
    const onSlot4 = controller.filter(
      ({ address }: { address?: { slot: string } }) => address?.slot === "0x04",
    );
    assert.deepEqual(onSlot4, [], "everything else makes room");
  });

  it("gives no PCI address, disk target, boot order or alias twice", () => {
    fc.assert(
      fc.property(anySpec, (spec) => {
        const text = domainXml(spec, resourcesOf(spec));
        for (const pattern of [
          /<address type="pci"[^>]*>/g,
          /<target dev="[^"]*"/g,
          /<boot [^>]*>/g,
          /<alias [^>]*>/g,
        ]) {
          const found = [...text.matchAll(pattern)].map(([match]) =>
            match.replace(' multifunction="on"', ""),
          );
          assert.equal(new Set(found).size, found.length);
        }
      }),
    );
  });

  it("tells a disk and an interface of the same name apart", () => {
    const { disk, interface: nics } = parse({
      ...SMALL_SPEC,
      disks: [{ ...DISK, name: "default" }],
      interfaces: [NIC],
    }).devices;
    assert.deepEqual([disk[0].alias.name, nics[0].alias.name], ["ua-default", "ua-default_interface"]);
  });

  it("boots hard disks before CD-ROMs, in their order, where no order was given", () => {
    const cdrom = { ...DISK, name: "cd", device: "cdrom", bus: "sata" } as const;
    const xml = parse({ ...SMALL_SPEC, disks: [cdrom, DISK] });
    assert.deepEqual(
      xml.devices.disk.map((disk: DiskXml) => [disk.alias.name, disk.boot?.order]),
      [
        ["ua-cd", "2"],
        ["ua-root", "1"],
      ],
    );
  });

  it("adds nothing to an order that was given", () => {
    const spec = { ...SMALL_SPEC, disks: [DISK], interfaces: [{ ...NIC, bootOrder: 1 }] };
    const { disk, interface: nics } = parse(spec).devices;
    assert.deepEqual([disk[0].boot, nics[0].boot.order, nics[0].rom], [undefined, "1", undefined]);
  });

  it("asks for queues only where the tap has several", () => {
    const queues = (count: number) =>
      parse({ ...SMALL_SPEC, interfaces: [{ ...NIC, queues: count }] }).devices.interface[0].driver?.queues;
    assert.deepEqual([queues(1), queues(4)], [undefined, "4"]);
  });

  it("has a name that libvirt can name files by, however long the machine's is", () => {
    const named = (length: number) =>
      parse({ ...SMALL_SPEC, namespace: "ns", name: "n".repeat(length) }).name;
    assert.equal(named(197), `ns_${"n".repeat(197)}`);
    assert.equal(named(198).length, 200);
    assert.notEqual(named(252), named(253));
  });

  it("limits the translation cache under TCG and has none under KVM", () => {
    const kvm = { ...SMALL_SPEC, domain: { ...SMALL_SPEC.domain, accelerator: "kvm" } } as const;
    assert.equal(parse(SMALL_SPEC).features.tcg["tb-cache"]["#text"], "32");
    assert.equal(parse(kvm).features.tcg, undefined);
  });

  it("takes the CPU model that was asked for under KVM", () => {
    const cpu = (model: string) => {
      const domain = { ...SMALL_SPEC.domain, accelerator: "kvm", cpu: { ...SMALL_SPEC.domain.cpu, model } };
      return parse({ ...SMALL_SPEC, domain } as LaunchSpec).cpu;
    };
    assert.equal(cpu("host-model").mode, "host-model");
    assert.equal(cpu("host-passthrough").mode, "host-passthrough");
    assert.equal(cpu("EPYC").model["#text"], "EPYC");
  });

  it("makes huge memory of a memfd, and has the guest give nothing of it back", () => {
    const backing = (hugepageBytes?: HugepageBytes) => {
      const domain = { ...SMALL_SPEC.domain, ...(hugepageBytes !== undefined && { hugepageBytes }) };
      const { devices, memoryBacking } = parse({ ...SMALL_SPEC, domain });
      const { hugepages, source } = memoryBacking ?? {};
      return [hugepages?.page, source?.type, devices.memballoon.freePageReporting];
    };
    assert.deepEqual(backing(2_097_152), [{ size: "2048", unit: "KiB" }, "memfd", "off"]);
    assert.deepEqual(backing(), [undefined, undefined, "on"]);
  });

  it("refuses secure boot of a kernel that nothing would check", () => {
    const domain = { ...SMALL_SPEC.domain, efi: { secureBoot: true }, kernelBoot: { kernelPath: "/k" } };
    const spec = { ...SMALL_SPEC, domain };
    assert.throws(() => domainXml(spec, resourcesOf(spec)), isCode("BootUnsupported"));
  });

  it("starts UEFI from read-only code, with variables of the guest's own", () => {
    for (const [secureBoot, code, template] of [
      [false, "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"],
      [true, "OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"],
    ] as const) {
      const { os, features } = parse({
        ...SMALL_SPEC,
        domain: { ...SMALL_SPEC.domain, efi: { secureBoot } },
      });
      assert.deepEqual([os.loader.readonly, os.loader.secure], ["yes", secureBoot ? "yes" : "no"]);
      assert.equal(os.loader["#text"], `/usr/share/OVMF/${code}`);
      assert.deepEqual(os.nvram, { template: `/usr/share/OVMF/${template}`, "#text": "/run/d/nvram.fd" });
      assert.equal(features.smm?.state, secureBoot ? "on" : undefined);
    }
  });

  it("says of a disk what was found out about it and what it was told", () => {
    const knobs = { errorPolicy: "enospace", shareable: true, ioThread: 2, queues: 3 } as const;
    const spec = {
      ...SMALL_SPEC,
      disks: [{ ...DISK, ...knobs }],
      domain: { ...SMALL_SPEC.domain, ioThreads: 2 },
    };
    const resolved: ResolvedDisk = {
      name: "root",
      kind: "block",
      path: "/dev/virtpod/root",
      format: "raw",
      cache: "none",
      io: "native",
      blockSize: { logical: 512, physical: 4096 },
    };
    const xml = parser.parse(domainXml(spec, { ...resourcesOf(spec), disks: [resolved] })).domain;
    const [root] = xml.devices.disk;
    assert.equal(xml.iothreads, "2");
    assert.deepEqual(root.driver, {
      ...{ name: "qemu", type: "raw", cache: "none", error_policy: "enospace", io: "native" },
      ...{ iothread: "2", discard: "unmap", queues: "3" },
    });
    assert.deepEqual([root.type, root.source.dev, root.shareable], ["block", "/dev/virtpod/root", ""]);
    assert.deepEqual(root.blockio, { logical_block_size: "512", physical_block_size: "4096" });
  });

  it("pins what has CPUs of its own, and all of it", () => {
    const { cpu } = SMALL_SPEC.domain;
    const spec = { ...SMALL_SPEC, domain: { ...SMALL_SPEC.domain, ioThreads: 2, cpu: { ...cpu, cores: 2 } } };
    const pinning = { vcpus: [5, 1], emulator: [3, 7] };
    const xml = parser.parse(domainXml(spec, { ...resourcesOf(spec), pinning })).domain;
    assert.deepEqual(xml.cputune.vcpupin, [
      { vcpu: "0", cpuset: "5" },
      { vcpu: "1", cpuset: "1" },
    ]);
    assert.equal(xml.cputune.emulatorpin.cpuset, "3,7");
    assert.deepEqual(xml.cputune.iothreadpin, [
      { iothread: "1", cpuset: "3,7" },
      { iothread: "2", cpuset: "3,7" },
    ]);
    assert.equal(parse(spec).cputune, undefined);
  });

  it("refuses what it can't make a device of", () => {
    const disk = { ...SMALL_SPEC, disks: [DISK] };
    assert.throws(() => domainXml(disk, resourcesOf(SMALL_SPEC)), isCode("DiskNotPrepared"));
    const nic = { ...SMALL_SPEC, interfaces: [NIC] };
    assert.throws(
      () => domainXml(nic, { ...resourcesOf(nic), interfaces: [attachment("other", 0)] }),
      isCode("InterfaceNotAttached"),
    );
    const impossible: readonly Partial<LaunchDisk>[] = [
      { device: "lun" },
      { device: "cdrom", bus: "virtio" },
      { bus: "sata", readonly: true },
      { shareable: true },
      { bus: "scsi", ioThread: 1 },
      { bus: "usb", queues: 2 },
    ];
    for (const change of impossible) {
      const wrong = { ...SMALL_SPEC, disks: [{ ...DISK, ...change }] };
      assert.throws(() => domainXml(wrong, resourcesOf(wrong)), isCode("DiskUnsupported"));
    }
    const many = { ...SMALL_SPEC, disks: Array.from({ length: 40 }, (_, i) => ({ ...DISK, name: `d${i}` })) };
    assert.throws(() => domainXml(many, resourcesOf(many)), isCode("TooManyDevices"));
  });
});

interface DiskXml {
  readonly alias: { readonly name: string };
  readonly target: { readonly bus: string };
  readonly device: string;
  readonly driver: { readonly cache?: string };
  readonly serial?: string;
  readonly readonly?: string;
  readonly boot?: { readonly order: string };
}

interface InterfaceXml {
  readonly alias: { readonly name: string };
  readonly target: { readonly dev: string };
  readonly address: { readonly bus: string; readonly slot: string };
  readonly acpi?: { readonly index: string };
  readonly link?: { readonly state: string };
}
