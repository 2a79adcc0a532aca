/** The aggregated API through the real API server, on a guest that runs: each way into it, and who may go it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:https";
import { after, before, describe, it } from "node:test";
import { SUBRESOURCES_PORT } from "../../api/names.ts";
import { PODS } from "../../kube/resources.ts";
import { VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { kubeconfigPath, untilGone } from "../harness/cluster.ts";
import { capture, clusterTool } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { Guests } from "../harness/guest.ts";
import { lastingRemainsOf, tracesOf } from "../harness/node.ts";
import { Session, Subresources } from "../harness/subresource.ts";
import { systemPods } from "../harness/system.ts";

const NAME = "tiny";
const HTTP_PORT = 80;
const BOUND_MS = 60_000;

describe("a running guest", { concurrency: 1 }, () => {
  let guests: Guests;
  let api: Subresources;

  before(async () => {
    guests = await Guests.open("subresources");
    api = new Subresources(guests.namespace);
    await guests.create(NAME);
    await guests.answering(NAME);
  });
  after(() => guests.close());

  const vmi = (subresource: string) => `virtualmachineinstances/${NAME}/${subresource}`;
  const vm = (subresource: string) => `virtualmachines/${NAME}/${subresource}`;
  const kubectl = (...args: readonly string[]) =>
    capture(clusterTool("kubectl"), ["-n", guests.namespace, ...args], {
      ...process.env,
      KUBECONFIG: kubeconfigPath(),
    });

  for (const path of [vmi(`portforward/${HTTP_PORT}/tcp`), vm(`portforward/${HTTP_PORT}`)]) {
    it(`answers at its port by ${path}`, async () => {
      const session = await api.session(path);
      session.send("GET / HTTP/1.0\r\n\r\n");
      await session.expect(/^HTTP\/1\.[01] 200 .*"address"/s);
      assert.deepEqual(await session.closed(), { code: 1000, reason: "" });
    });
  }

  it("hears datagrams, and its kernel's answer that nothing listens comes back", async () => {
    const session = await api.session(vmi("portforward/7007/udp"));
    session.send("anybody?");
    const { code, reason } = await session.closed();
    assert.equal(code, 1011);
    assert.match(reason, /^UDP port 7007 of the VMI .*ECONNREFUSED/);
  });

  it("at a port where nothing listens says so before the upgrade", async () => {
    const refusal = await api.open(vmi("portforward/9/tcp"));
    assert.ok(!(refusal instanceof Session));
    assert.equal(refusal.status, 503);
    assert.match(refusal.text, /TCP port 9 of the VMI .*\/tiny \([\d.]+\) can't be reached: nothing listens/);
  });

  it("shows its screen as a PNG", async () => {
    for (const query of ["", "?moveCursor=true"]) {
      const { status, bytes } = await api.ask("GET", `${vmi("vnc/screenshot")}${query}`);
      assert.equal(status, 200);
      assert.equal(bytes.subarray(0, 8).toString("hex"), "89504e470d0a1a0a");
      const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
      assert.ok(width >= 640 && height >= 400, `${width} × ${height}`);
    }
  });

  it("greets a viewer, and refuses one that would leave others alone while there are any", async () => {
    const viewer = await api.session(vmi("vnc?preserveSession=false"));
    await viewer.expect(/^RFB 003\.008\n$/);
    const refusal = await api.open(vmi("vnc?preserveSession=true"));
    assert.ok(!(refusal instanceof Session));
    assert.equal(refusal.status, 409);
    assert.match(refusal.text, /somebody looks at the guest's screen/);
    viewer.websocket.close();
    await viewer.closed();
  });

  it("gives its console to who comes later, and tells who came first", async () => {
    const first = await api.session(vmi("console"));
    first.send("\necho $((6 * 7))-first\n");
    await first.expect(/42-first/);
    const second = await api.session(vmi("console"));
    assert.deepEqual(await first.closed(), {
      code: 4001,
      reason: "another client has taken this console over",
    });
    second.send("\necho $((6 * 7))-second\n");
    await second.expect(/42-second/);
    second.websocket.terminate();
    await second.closed();
    // One that vanishes leaves it to the next.
    const third = await api.session(vmi("console"));
    third.send("\necho $((6 * 7))-third\n");
    await third.expect(/42-third/);
    third.websocket.close();
    await third.closed();
  });

  it("loses nothing of a flood through its console to a client that pauses", async () => {
    const session = await api.session(vmi("console"));
    session.send("\nstty -echo; echo $((6 * 7))-ready\n");
    await session.expect(/42-ready/);
    const pause = setInterval(() => {
      session.websocket.pause();
      setTimeout(() => session.websocket.resume(), 100);
    }, 200);
    try {
      session.send("yes 0123456789abcde | head -n 8192; echo $((6 * 7))-done; stty echo\n");
      await session.expect(/42-done/, 90_000);
    } finally {
      clearInterval(pause);
    }
    const lines = session.received.toString("latin1").match(/0123456789abcde\r\n/g);
    assert.equal(lines?.length, 8192);
    session.websocket.close();
    await session.closed();
  });

  it("is expanded as it is stored, and as it is sent", async () => {
    const stored = await guests.resource(VIRTUAL_MACHINES).get(NAME);
    const byName = JSON.parse((await api.ask("GET", vm("expand-spec"))).text);
    assert.deepEqual(byName.spec, stored.spec);
    const { spec } = stored;
    const sent = await api.ask("PUT", "expand-vm-spec", { metadata: { name: "new" }, spec });
    assert.equal(sent.status, 200, sent.text);
    assert.deepEqual(JSON.parse(sent.text).spec, spec);
    const refused = await api.ask("PUT", "expand-vm-spec", { spec: { ...spec, preference: { name: "x" } } });
    assert.equal(refused.status, 400);
    assert.match(refused.text, /must not have spec.preference/);
  });

  it("is migrated by nobody, and everybody is told so", async () => {
    const { status, text } = await api.ask("PUT", vm("migrate"), {});
    assert.equal(status, 405);
    assert.match(text, /virtualmachines\/migrate: virtpod moves no running guest/);
    assert.throws(
      () => kubectl("get", "--raw", "/apis/subresources.kubevirt.io/v1/guestfs"),
      /virtctl guestfs --image/,
    );
  });

  describe("to a user with the role", () => {
    const ROLES = ["admin", "edit", "view"] as const;
    const user = (role: string) => `${role}@${guests.namespace}`;

    before(async () => {
      for (const role of ROLES)
        kubectl("create", "rolebinding", `is-${role}`, `--clusterrole=${role}`, `--user=${user(role)}`);
      // The API server's own authorizer hears of them a moment later.
      for (const role of ROLES)
        await eventually(async () => kubectl("auth", "can-i", "list", "pods", "--as", user(role)), BOUND_MS);
    });

    /** What is asked, and the code of who may; all others get 403. */
    const asks = [
      { what: "GET", path: vmi("guestosinfo"), may: ROLES, code: 409 },
      { what: "GET", path: vm("expand-spec"), may: ROLES, code: 200 },
      { what: "PUT", path: "expand-vm-spec", may: ROLES, code: 400 },
      { what: "GET", path: vmi("vnc/screenshot"), may: ["admin", "edit"], code: 200 },
      { what: "PUT", path: vmi("unpause"), may: ["admin", "edit"], code: 200 },
      { what: "PUT", path: vm("start"), may: ["admin", "edit"], code: 409 },
      { what: "PUT", path: vmi("addvolume"), may: ["admin", "edit"], code: 405 },
      { what: "PUT", path: vm("evacuate/cancel"), may: ["admin", "edit"], code: 405 },
      // The role kubevirt.io:migrate has it.
      { what: "PUT", path: vm("migrate"), may: [], code: 405 },
      { what: "websocket", path: vmi("console"), may: ["admin", "edit"], code: 101 },
      { what: "websocket", path: vmi("vnc"), may: ["admin", "edit"], code: 101 },
      { what: "websocket", path: vmi(`portforward/${HTTP_PORT}/tcp`), may: ["admin", "edit"], code: 101 },
      { what: "websocket", path: vm(`portforward/${HTTP_PORT}`), may: ["admin", "edit"], code: 101 },
      { what: "websocket", path: vmi("usbredir"), may: ["admin", "edit"], code: 405 },
    ] as const satisfies readonly {
      readonly what: "GET" | "PUT" | "websocket";
      readonly path: string;
      readonly may: readonly string[];
      readonly code: number;
    }[];

    async function codeOf(as: Subresources, what: "GET" | "PUT" | "websocket", path: string) {
      if (what !== "websocket") return (await as.ask(what, path, what === "PUT" ? {} : undefined)).status;
      const opened = await as.open(path);
      if (!(opened instanceof Session)) return opened.status;
      opened.websocket.close();
      await opened.closed();
      return 101;
    }

    for (const role of ROLES) {
      it(`${role} has just what KubeVirt's role of that name gives`, async () => {
        const as = new Subresources(guests.namespace, user(role));
        for (const { what, path, may, code } of asks) {
          const wanted = (may as readonly string[]).includes(role) ? code : 403;
          assert.equal(await codeOf(as, what, path), wanted, `${what} ${path}`);
        }
        // In another namespace nobody of them has anything.
        const elsewhere = new Subresources("default", user(role));
        assert.equal((await elsewhere.ask("GET", vmi("guestosinfo"))).status, 403);
      });
    }

    it("view is nobody else by the headers that it sends", async () => {
      const forged = { "X-Remote-User": "root", "X-Remote-Group": "system:masters" };
      const as = new Subresources(guests.namespace, user("view"), forged);
      for (const { what, path, may } of asks) {
        if ((may as readonly string[]).includes("view")) continue;
        assert.equal(await codeOf(as, what, path), 403, path);
      }
    });

    it("nor is anybody who comes past the API server", async () => {
      for (const { status } of await systemPods(guests.client, "virtpod-operator")) {
        const headers = { "X-Remote-User": "root", "X-Remote-Group": "system:masters" };
        const path = `/apis/subresources.kubevirt.io/v1/namespaces/${guests.namespace}/${vmi("guestosinfo")}`;
        const options = {
          host: status?.podIP,
          port: SUBRESOURCES_PORT,
          path,
          headers,
          rejectUnauthorized: false,
        };
        const answer = once(request(options).end(), "response");
        // TLS 1.3: the server's refusal comes after the client's own handshake is done.
        await assert.rejects(answer, /certificate required|ECONNRESET|socket hang up/);
      }
    });

    it("of none may read the version, and nothing else", async () => {
      const nobody = new Subresources(guests.namespace, "nobody");
      const version = await nobody.askAt("GET", "/apis/subresources.kubevirt.io/v1/version");
      assert.equal(version.status, 200, version.text);
      assert.match(version.text, /"gitVersion":"v\d/);
      for (const { what, path } of asks) assert.equal(await codeOf(nobody, what, path), 403, path);
    });
  });

  it("that is stopped by force has left nothing behind when its pod is gone", async () => {
    const pod = await guests.pod(NAME);
    const traces = tracesOf(pod);
    const { status, text } = await api.ask("PUT", vm("stop"), { gracePeriod: 0 });
    assert.equal(status, 200, text);
    await untilGone(guests.client, PODS, {
      namespace: guests.namespace,
      name: pod.metadata.name,
      timeoutMs: 60_000,
    });
    assert.deepEqual(await lastingRemainsOf(traces), []);
  });
});
