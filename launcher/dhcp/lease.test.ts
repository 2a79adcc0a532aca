import assert from "node:assert/strict";
import { test } from "node:test";
import type { InterfaceAttachment, PodInterface } from "../../api/pod-interface.ts";
import { LeaseError, type LeaseSource, leaseFor, parseResolvConf } from "./lease.ts";

const RESOLV_CONF = `# made by the kubelet
search team.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
`;

function source(podInterface: Partial<PodInterface> = {}, overrides: Partial<LeaseSource> = {}): LeaseSource {
  const attachment: InterfaceAttachment = {
    name: "default",
    podInterface: {
      name: "eth0",
      macAddress: "0A:58:0A:F4:00:07",
      mtu: 1450,
      addresses: ["fd00::7/64", "10.244.0.7/24"],
      routes: [{ destination: "0.0.0.0/0", gateway: "10.244.0.1" }],
      neighbours: [],
      ...podInterface,
    },
    guest: { macAddress: "0A:58:0A:F4:00:07" },
    tap: { name: "tap0", queues: 1 },
    bridge: { name: "k6t-eth0", macAddress: "02:00:00:00:00:01", address: "169.254.75.10" },
  };
  return { attachment, resolvConf: RESOLV_CONF, hostname: "machine", namespace: "team", ...overrides };
}

test("the guest is told the pod's first IPv4 address, gateway, resolver and MTU", () => {
  const lease = leaseFor(source());
  assert.equal(lease.macAddress, "0a:58:0a:f4:00:07");
  assert.equal(`${lease.address}/${lease.prefixLength}`, "10.244.0.7/24");
  assert.equal(lease.router, "10.244.0.1");
  assert.deepEqual(lease.routes, [{ destination: "0.0.0.0/0", gateway: "10.244.0.1" }]);
  assert.deepEqual(lease.dnsServers, ["10.96.0.10"]);
  assert.deepEqual(lease.searchDomains, ["team.svc.cluster.local", "svc.cluster.local", "cluster.local"]);
  assert.equal(lease.domain, "team.svc.cluster.local");
  assert.equal(lease.mtu, 1450);
  assert.ok(lease.renewalSeconds < lease.rebindingSeconds && lease.rebindingSeconds < lease.leaseSeconds);
});

test("a gateway outside the address's prefix comes with a route to itself on the link, the default route last", () => {
  const expected = [
    { destination: "169.254.1.1/32", gateway: "0.0.0.0" },
    { destination: "0.0.0.0/0", gateway: "169.254.1.1" },
  ];
  const addresses = ["192.168.7.9/32"];
  const byDefault = { destination: "0.0.0.0/0", gateway: "169.254.1.1" };
  const calico = leaseFor(source({ addresses, routes: [byDefault, { destination: "169.254.1.1/32" }] }));
  assert.deepEqual(calico.routes, expected);
  assert.deepEqual(
    leaseFor(source({ addresses, routes: [{ ...byDefault, onLink: true }] })).routes,
    expected,
  );
});

test("a pod whose own prefix lies behind its gateway (ptp) gives its guest a /32", () => {
  const lease = leaseFor(
    source({
      addresses: ["10.89.0.2/24"],
      routes: [
        { destination: "0.0.0.0/0", gateway: "10.89.0.1" },
        { destination: "10.89.0.0/24", gateway: "10.89.0.1" },
        { destination: "10.89.0.1/32" },
      ],
    }),
  );
  assert.equal(`${lease.address}/${lease.prefixLength}`, "10.89.0.2/32");
  assert.deepEqual(lease.routes, [
    { destination: "10.89.0.1/32", gateway: "0.0.0.0" },
    { destination: "10.89.0.0/24", gateway: "10.89.0.1" },
    { destination: "0.0.0.0/0", gateway: "10.89.0.1" },
  ]);
});

test("a guest in a subnet of its own (masquerade) is told of that, and of the pod's resolver and MTU", () => {
  const { attachment } = source();
  const subnet = { address: "10.0.2.2/24", gateway: "10.0.2.1" };
  const lease = leaseFor({
    ...source(),
    attachment: { ...attachment, guest: { ...attachment.guest, subnet } },
  });
  assert.equal(`${lease.address}/${lease.prefixLength}`, "10.0.2.2/24");
  assert.equal(lease.router, "10.0.2.1");
  assert.deepEqual(lease.routes, [{ destination: "0.0.0.0/0", gateway: "10.0.2.1" }]);
  assert.deepEqual(lease.dnsServers, ["10.96.0.10"]);
  assert.equal(lease.mtu, 1450);
});

test("dhcpOptions are the lease's", () => {
  const { ntpServers, bootFileName, tftpServerName, privateOptions } = leaseFor(
    source(
      {},
      {
        dhcpOptions: {
          ntpServers: ["192.0.2.123"],
          bootFileName: "boot.ipxe",
          tftpServerName: "tftp.example",
          privateOptions: [{ option: 224, value: "x" }],
        },
      },
    ),
  );
  assert.deepEqual(
    { ntpServers, bootFileName, tftpServerName, privateOptions },
    {
      ntpServers: ["192.0.2.123"],
      bootFileName: "boot.ipxe",
      tftpServerName: "tftp.example",
      privateOptions: [{ option: 224, value: "x" }],
    },
  );
});

test("a pod without a gateway gives its guest none", () => {
  const lease = leaseFor(source({ routes: [] }));
  assert.ok(!("router" in lease));
  assert.deepEqual(lease.routes, []);
  assert.ok(!("router" in leaseFor(source({ routes: [{ destination: "0.0.0.0/0" }] }))));
});

test("host bits of a route's destination are cleared", () => {
  const routes = [{ destination: "10.9.8.7/16", gateway: "10.244.0.2" }];
  assert.deepEqual(leaseFor(source({ routes })).routes, [
    { destination: "10.9.0.0/16", gateway: "10.244.0.2" },
  ]);
});

test("a subdomain names the guest under its Service and is searched first", () => {
  const lease = leaseFor(source({}, { subdomain: "web" }));
  assert.equal(lease.domain, "web.team.svc.cluster.local");
  assert.equal(lease.searchDomains[0], "web.team.svc.cluster.local");
  assert.equal(lease.searchDomains.length, 4);
});

test("a pod without an IPv4 address has no lease", () => {
  assert.throws(() => leaseFor(source({ addresses: ["fd00::7/64"] })), LeaseError);
});

test("of resolv.conf only what a guest can use over IPv4 is kept", () => {
  assert.deepEqual(
    parseResolvConf(
      "nameserver fd00::a\nnameserver 127.0.0.53\nnameserver  10.0.0.1\nnameserver 10.0.0.1\nnameserver nonsense\n" +
        "search first.example\ndomain second.example\nsearch Third.Example. bad..name -x.example third.example\n",
    ),
    { nameservers: ["10.0.0.1"], searchDomains: ["third.example"] },
  );
  assert.deepEqual(parseResolvConf(""), { nameservers: [], searchDomains: [] });
});
