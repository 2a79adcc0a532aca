/** Clients that others wrote keep a short lease: by broadcast once, by unicast at T1; needs root. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { DhcpLab, type LabClient, type Seen } from "./lab.fixture.ts";

/** dhcpcd takes no lease below 20 s; udhcpc counts T1 itself, as half of it. */
const TIMES = [20, 5, 15] as const;
const UDHCPC_SCRIPT = new URL("../../agent/network/udhcpc.fixture.sh", import.meta.url).pathname;

/** What each is started with; its files are in the lab's folder. */
const clients: Readonly<Record<string, (lab: DhcpLab, client: LabClient) => ChildProcess>> = {
  udhcpc: (lab, { netns }) => {
    const script = join(lab.folder, "udhcpc.sh");
    const told = join(lab.folder, "udhcpc.told");
    writeFileSync(
      script,
      `#!/bin/sh -e\n[ "$1" != bound ] || echo "$dns $search" >${told}\nexec ${UDHCPC_SCRIPT} "$@"\n`,
      { mode: 0o755 },
    );
    const requests = ["mtu", "staticroutes", "search"].flatMap((name) => ["-O", name]);
    return lab.start(netns, "busybox", "udhcpc", "-f", "-i", "eth0", ...requests, "-s", script);
  },
  dhclient: (lab, { netns }) => {
    const file = (name: string): string => join(lab.folder, `dhclient.${name}`);
    writeFileSync(
      file("conf"),
      "request subnet-mask, routers, domain-name-servers, domain-name, domain-search, interface-mtu;\n",
    );
    writeFileSync(file("leases"), "");
    writeFileSync(
      file("sh"),
      '#!/bin/sh -e\n[ -n "$new_ip_address" ] || exit 0\n' +
        'ip link set dev "$interface" mtu "$new_interface_mtu"\n' +
        'ip address replace "$new_ip_address/24" dev "$interface"\n' +
        'ip route replace default via "$new_routers"\n' +
        // Not on RENEW: the file would be written anew while the test reads it.
        `[ "$reason" != BOUND ] || echo "$new_domain_name_servers $new_domain_search" >${file("told")}\n`,
      { mode: 0o755 },
    );
    const files = ["-cf", file("conf"), "-lf", file("leases"), "-pf", file("pid"), "-sf", file("sh")];
    return lab.start(netns, "dhclient", "-4", "-d", "-q", ...files, "eth0");
  },
  dhcpcd: (lab, { netns }) => {
    const file = (name: string): string => join(lab.folder, `dhcpcd.${name}`);
    writeFileSync(
      file("conf"),
      "noarp\nrequire dhcp_server_identifier\noption domain_name_servers, domain_name, domain_search\n" +
        "option classless_static_routes, interface_mtu\n",
    );
    writeFileSync(
      file("sh"),
      `#!/bin/sh\n[ "$reason" != BOUND ] || echo "$new_domain_name_servers $new_domain_search" >${file("told")}\n`,
      { mode: 0o755 },
    );
    const command = `dhcpcd -4 -B -q -f ${file("conf")} -c ${file("sh")} eth0`;
    return lab.start(netns, ...withOwnFolders(`chmod 755 ${lab.folder}; exec ${command}`));
  },
  "systemd-networkd": (lab, { netns }) => {
    writeFileSync(
      join(lab.folder, "eth0.network"),
      "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n" +
        "[DHCPv4]\nUseMTU=yes\nUseDomains=yes\n",
    );
    const lines = [
      "mkdir -p /run/systemd/network /run/systemd/netif",
      "chown -R systemd-network /run/systemd/netif",
      `cp ${lab.folder}/eth0.network /run/systemd/network/`,
      // Where /sys can't be written to, nobody waits for udev.
      "mount -o remount,bind,ro /sys",
      "exec /usr/lib/systemd/systemd-networkd",
    ];
    return lab.start(netns, ...withOwnFolders(lines.join("; ")));
  },
};

/** A script that sees /run and /var/lib of its own; `ip netns exec` has made the mounts its own. */
function withOwnFolders(script: string): string[] {
  return ["sh", "-ec", `mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib; ${script}`];
}

interface Course {
  readonly client: LabClient;
  readonly pid: number;
  /** What the server's kernel had counted when the client had its lease, and when it had renewed it. */
  bound?: Seen;
  renewed?: Seen;
}

describe("a client that others wrote takes its lease and renews it by unicast at T1", () => {
  let lab: DhcpLab;
  const courses = new Map<string, Course>();

  before(
    async () => {
      lab = await DhcpLab.start({ clients: Object.keys(clients).length, times: TIMES });
      for (const [index, [name, start]] of Object.entries(clients).entries()) {
        const { pid } = start(lab, lab.client(index));
        courses.set(name, { client: lab.client(index), pid: pid ?? assert.fail(`${name} did not start`) });
      }
      const pending = (): boolean => [...courses.values()].some(({ renewed }) => renewed === undefined);
      while (pending()) {
        const event = await lab.next();
        const course = [...courses.values()].find(({ client }) => event === `leased ${client.macAddress}`);
        assert.ok(course, event);
        if (course.bound === undefined) course.bound = lab.seen(course.client);
        else course.renewed ??= lab.seen(course.client);
      }
    },
    { timeout: 90_000 },
  );
  after(() => lab[Symbol.asyncDispose]());

  /** Name servers and search domains, as the client passes them on. */
  const names: Readonly<Record<string, (course: Course) => string>> = {
    udhcpc: () => readFileSync(join(lab.folder, "udhcpc.told"), "utf8"),
    dhclient: () => readFileSync(join(lab.folder, "dhclient.told"), "utf8"),
    dhcpcd: () => readFileSync(join(lab.folder, "dhcpcd.told"), "utf8"),
    "systemd-networkd": ({ pid }) => {
      const folder = `/proc/${pid}/root/run/systemd/netif/leases`;
      // By the link's number; beside it is for a moment what it is replaced with upon each renewal.
      const lease = readdirSync(folder).find((file) => /^\d+$/.test(file)) ?? "";
      const told = readFileSync(join(folder, lease), "utf8");
      return ["DNS", "DOMAIN_SEARCH_LIST"]
        .map((key) => new RegExp(`^${key}=(.*)$`, "m").exec(told)?.[1])
        .join(" ");
    },
  };

  for (const name of Object.keys(clients)) {
    test(name, () => {
      const course = courses.get(name) ?? assert.fail();
      const { client, bound, renewed } = course;
      const ip = (...line: string[]): string => lab.inside(client.netns, "ip", ...line);
      assert.match(ip("-4", "address", "show", "dev", "eth0"), new RegExp(`inet ${client.address}/24 `));
      assert.match(ip("route"), new RegExp(`^default via ${client.gateway} dev eth0`, "m"));
      // dhcpcd gives the MTU to its routes.
      assert.match(ip("link", "show", "dev", "eth0") + ip("route", "show", "default"), / mtu 1400 /);
      if (name !== "dhclient")
        assert.match(ip("route"), new RegExp(`^192\\.0\\.2\\.0/24 via ${client.gateway} `, "m"));
      assert.equal(
        names[name]?.(course)
          .trim()
          .replaceAll(/\.(?= |$)/g, ""),
        "10.96.0.10 team.svc.cluster.local svc.cluster.local cluster.local",
      );
      assert.ok(bound && renewed);
      assert.equal(bound.unicast, 0);
      assert.equal(renewed.unicast, 1, "one unicast");
      assert.equal(renewed.broadcast, bound.broadcast, "and no broadcast");
    });
  }
});
