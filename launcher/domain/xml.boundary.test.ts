/** The domain XML against a real libvirtd: its schema, its placement of devices, and qemu's own start. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MAX_VCPUS } from "../../api/domain-statistics.ts";
import type { LaunchDisk, LaunchSpec } from "../../api/launch-spec.ts";
import { LibvirtError } from "../libvirt/errors.ts";
import { sessionOfSuite, skip, user } from "../libvirt/session.fixture.ts";
import type { DomainRef } from "../libvirt/structures.ts";
import { anySpec, resourcesOf, SMALL_SPEC } from "./spec.fixture.ts";
import { domainXml } from "./xml.ts";

const RUNNING = 1;

describe("domain XML, to libvirt", { skip, timeout: 120_000 }, () => {
  const suite = sessionOfSuite();

  it("is valid for any LaunchSpec, and every device gets the place it was given", async () => {
    const { connection } = suite();
    await fc.assert(
      fc.asyncProperty(anySpec, async (spec) => {
        const xml = domainXml(spec, resourcesOf(spec));
        let domain: DomainRef;
        try {
          domain = await connection.defineDomain(xml, { validate: true });
        } catch (error) {
          // The machine of the test has no KVM that its user may open, and need not have swtpm: libvirt says so after
          // the schema's check.
          const { accelerator, tpm } = spec.domain;
          assert.ok(accelerator === "kvm" || tpm === true, String(error));
          assert.ok(error instanceof LibvirtError, String(error));
          assert.equal(error.code, "ConfigurationUnsupported", error.message);
          return;
        }
        const ports = (text: string) => [...text.matchAll(/model=['"]pcie-root-port['"]/g)].length;
        const defined = await connection.domainXml(domain);
        await connection.undefineDomain(domain);
        const isAlone = !spec.disks.some(({ bus }) => bus === "sata");
        if (isAlone)
          assert.equal(ports(defined), ports(xml), "libvirt added no port for a device of its own");
      }),
      { numRuns: 60 },
    );
  });

  it("starts with the longest name that a machine may have, and as many vCPUs as it may", async () => {
    const { session, connection } = suite();
    const named = { ...SMALL_SPEC, namespace: "n".repeat(63), name: "v".repeat(253) };
    const xml = domainXml(named, resourcesOf(named, session.directory));
    const domain = await connection.createDomain(xml, { validate: true, paused: true });
    await connection.destroyDomain(domain);
    const cpu = { ...SMALL_SPEC.domain.cpu, sockets: 1, cores: MAX_VCPUS, threads: 1 };
    const wide = { ...SMALL_SPEC, domain: { ...SMALL_SPEC.domain, cpu } };
    const defined = await connection.defineDomain(domainXml(wide, resourcesOf(wide)), { validate: true });
    await connection.undefineDomain(defined);
  });

  it("starts with every kind of device that needs no tap", async (t) => {
    const { session, connection } = suite();
    const disk = (name: string, bus: LaunchDisk["bus"], device: LaunchDisk["device"]): LaunchDisk => ({
      ...{ name, bus, device, readonly: false },
      source: { kind: "emptyDisk", path: "/d", capacityBytes: 1 },
    });
    const spec: LaunchSpec = {
      ...SMALL_SPEC,
      disks: [
        { ...disk("root", "virtio", "disk"), serial: "root-1", cache: "writeback" },
        disk("data", "scsi", "disk"),
        disk("old", "sata", "disk"),
        disk("cd", "sata", "cdrom"),
        disk("stick", "usb", "disk"),
      ],
      domain: { ...SMALL_SPEC.domain, graphics: true, rng: true, serial: "A & B" },
    };
    const resources = resourcesOf(spec, session.directory);
    for (const { path } of resources.disks) {
      execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", path, "1M"], { ...user });
    }
    const domain = await connection.createDomain(domainXml(spec, resources), { validate: true });
    t.after(() => connection.destroyDomain(domain));
    assert.equal((await connection.domainState(domain)).state, RUNNING);
    const text = await connection.domainXml(domain);
    for (const { name } of spec.disks) assert.match(text, new RegExp(`<alias name='ua-${name}'/>`));
    assert.match(text, /<entry name='serial'>A &amp; B<\/entry>/);
  });
});
