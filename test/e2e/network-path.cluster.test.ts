/** `virtpod net`: what a person sees of a guest's network, on the real way from the node's agent and the launcher. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { NetworkPath } from "../../api/network-path.ts";
import { kubeconfigPath } from "../harness/cluster.ts";
import { capture, clusterTool, interact } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { ask, Guests } from "../harness/guest.ts";

const NAME = "seen";
const BOUND_MS = 60_000;
const CLI = new URL("../../cli/main.ts", import.meta.url).pathname;
const env = { ...process.env, KUBECONFIG: kubeconfigPath() };

describe("a guest's network, shown by virtpod net", () => {
  let guests: Guests;
  let address: string;

  before(async () => {
    guests = await Guests.open("network-path");
    const listed = { name: "default", bridge: {}, ports: [{ port: 80 }] };
    await guests.create(NAME, {
      domain: { devices: { interfaces: [listed] } },
      spec: { networks: [{ name: "default", pod: {} }] },
    });
    address = (await guests.answering(NAME)).address;
  });
  after(() => guests.close());

  const virtpod = (...args: string[]) =>
    capture(process.execPath, ["--disable-warning=ExperimentalWarning", CLI, ...args], env);
  const net = (...args: string[]) => virtpod("net", NAME, "--namespace", guests.namespace, ...args);
  const shown = () => JSON.parse(net("--output", "json")) as NetworkPath;
  const kubectl = (...args: string[]) => capture(clusterTool("kubectl"), args, env);

  it("is the way from tap to pod interface, with the lease that the guest took", async () => {
    const { dhcpCounters, differences, interfaces } = shown();
    assert.deepEqual(differences, []);
    assert.equal(interfaces.length, 1);
    const [one] = interfaces;
    assert.deepEqual([one?.name, one?.binding], ["default", "bridge"]);
    assert.deepEqual(
      one?.links.map(({ role, name, isUp }) => [role, name, isUp]),
      [
        ["tap", "tap0", true],
        ["bridge", "k6t-eth0", true],
        ["podInterface", "eth0-nic", true],
      ],
    );
    assert.equal(one?.lease?.address.split("/")[0], address);
    assert.ok(one?.lease?.acknowledged !== undefined);
    assert.ok((dhcpCounters["ack"] ?? 0) >= 1);
    assert.match(net(), new RegExp(`Lease ${address.replaceAll(".", "\\.")}/\\d+, router .*last given 20`));
  });

  it("counts what passes, and what the guest may not send", async () => {
    const before = shown().interfaces[0];
    await ask(address, "/");
    await guests.type(NAME, "ip address add 192.0.2.77/24 dev eth0");
    await guests.type(NAME, "ping -c 2 -W 1 -I 192.0.2.77 192.0.2.78", /packet loss/);
    const after = shown().interfaces[0];
    const sent = (path: typeof before, role: string) =>
      path?.links.find((link) => link.role === role)?.fromGuest.packets ?? 0;
    assert.ok(sent(after, "tap") > sent(before, "tap"));
    assert.ok(sent(after, "podInterface") > sent(before, "podInterface"));
    const dropped = (path: typeof before) =>
      path?.dropped
        .filter(({ rule }) => rule.startsWith("foreign-"))
        .reduce((sum, one) => sum + one.packets, 0) ?? 0;
    assert.ok(dropped(after) > dropped(before));
    assert.match(net(), /^from-tap0 +foreign-/m);
  });

  it("is reached by kubectl port-forward at the ports that are listed", async () => {
    const { metadata } = await guests.pod(NAME);
    const forward = interact(
      clusterTool("kubectl"),
      ["port-forward", "-n", guests.namespace, metadata.name, ":80"],
      env,
    );
    try {
      const [, port] = await forward.expect(/Forwarding from 127\.0\.0\.1:(\d+)/, 60_000);
      assert.equal((await ask<{ hostname: string }>(`127.0.0.1:${port}`, "/")).hostname, NAME);
    } finally {
      forward.kill();
      await forward.ended;
    }
  });

  it("is shown to who may view the namespace, and to nobody else", async () => {
    const { namespace } = guests;
    const path = `/apis/subresources.virtpod.io/v1/namespaces/${namespace}/virtualmachineinstances/${NAME}/network`;
    kubectl(
      "create",
      "rolebinding",
      "viewer",
      "--clusterrole=view",
      "--user=viewer",
      "--namespace",
      namespace,
    );
    // The API server's own authorizer hears of it a moment later.
    const answer = await eventually(
      async () => JSON.parse(kubectl("get", "--raw", path, "--as", "viewer")) as NetworkPath,
      BOUND_MS,
    );
    assert.equal(answer.interfaces[0]?.name, "default");
    assert.throws(() => kubectl("get", "--raw", path, "--as", "stranger"), /forbidden|cannot get/i);
  });

  it("of a machine that is not there is refused by its name", () => {
    assert.throws(
      () => virtpod("net", "missing", "--namespace", guests.namespace),
      /virtualmachineinstances\.kubevirt\.io "missing" not found/,
    );
  });
});
