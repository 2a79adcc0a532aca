/** The aggregated API over real TLS, called as an API server's front proxy calls it. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { REFUSED_NAMES } from "./catalog.ts";
import { frontProxyAuthority, get, put, send } from "./front-proxy.fixture.ts";
import { Content } from "./handler.ts";
import { AS_JANE, CONSOLE, proxy, type Serving, serve, serving, TRUST } from "./server.fixture.ts";

describe("a connection to the aggregated API", () => {
  it("without a client certificate is refused by TLS", async (t) => {
    const { target } = await serve(t);
    const { client: _, ...anonymous } = target;
    // TLS 1.3: the refusal comes after the client's own handshake is done.
    await assert.rejects(
      get(anonymous, "/apis/subresources.kubevirt.io"),
      /certificate required|ECONNRESET|socket hang up/,
    );
  });

  it("with a certificate of another authority is refused by TLS", async (t) => {
    const { target } = await serve(t);
    const client = await (await frontProxyAuthority()).issue("front-proxy-client");
    await assert.rejects(
      get({ ...target, client }, "/apis/subresources.kubevirt.io"),
      /unknown ca|ECONNRESET|socket hang up/,
    );
  });

  it("with another name of the right authority may speak for nobody", async (t) => {
    const it = await serve(t);
    const client = await proxy.issue("some-user");
    const { status, body } = await get({ ...it.target, client }, CONSOLE, AS_JANE);
    assert.deepEqual([status, body["reason"]], [401, "Unauthorized"]);
    assert.deepEqual(it.asked, []);
  });

  it("is judged by the trust of the moment: a new authority is believed, an old one no more", async (t) => {
    const { target, server } = await serve(t);
    const next = await frontProxyAuthority();
    const renewed = { ...target, client: await next.issue("next-client") };
    server.renewTrust({ ...TRUST, clientCa: next.caPem, allowedNames: ["next-client"] });
    assert.equal((await get(renewed, CONSOLE, AS_JANE)).status, 400);
    await assert.rejects(get(target, CONSOLE, AS_JANE), /unknown ca|ECONNRESET|socket hang up/);
    server.renewCertificate(serving);
    assert.equal((await get(renewed, CONSOLE, AS_JANE)).status, 400);
  });

  it("of either authority is believed while the bundle has both, as during a rotation", async (t) => {
    const { target, server } = await serve(t);
    const next = await frontProxyAuthority();
    server.renewTrust({ ...TRUST, clientCa: `${proxy.caPem}\n${next.caPem}` });
    const client = await next.issue("front-proxy-client");
    assert.equal((await get(target, CONSOLE, AS_JANE)).status, 400);
    assert.equal((await get({ ...target, client }, CONSOLE, AS_JANE)).status, 400);
  });

  it("that names no caller is nobody's", async (t) => {
    const { target } = await serve(t);
    assert.equal((await get(target, CONSOLE)).status, 401);
    assert.equal((await get(target, CONSOLE, ["X-Remote-User", ""])).status, 401);
  });
});

describe("the caller", () => {
  it("is whom the headers name, with uid, groups and extra", async (t) => {
    const it = await serve(t);
    await get(it.target, CONSOLE, [
      ...AS_JANE,
      ...["X-Remote-Uid", "u-1", "X-Remote-Group", "devs", "X-Remote-Group", "system:authenticated"],
      ...["X-Remote-Extra-Acme.com%2fproject", "p1", "X-Remote-Extra-Acme.com%2fproject", "p2"],
      ...["X-Remote-Extra-100%25-odd%", "kept"],
    ]);
    assert.deepEqual(it.asked[0]?.caller, {
      user: "jane",
      uid: "u-1",
      groups: ["devs", "system:authenticated"],
      extra: { "acme.com/project": ["p1", "p2"], "100%25-odd%": ["kept"] },
    });
  });

  it("gains no group, and becomes nobody else, by a comma in a name", async (t) => {
    const it = await serve(t);
    await get(it.target, CONSOLE, ["X-Remote-User", "admin, jane", "X-Remote-Group", "a, system:masters"]);
    assert.equal(it.asked[0]?.caller.user, "admin, jane");
    assert.deepEqual(it.asked[0]?.caller.groups, ["a, system:masters"]);
  });

  it("may be in more groups than fit into 16 KiB", async (t) => {
    const it = await serve(t);
    const groups = Array.from({ length: 500 }, (_, i) => ["X-Remote-Group", `${"g".repeat(100)}-${i}`]);
    await get(it.target, CONSOLE, [...AS_JANE, ...groups.flat()]);
    assert.equal(it.asked[0]?.caller.groups.length, 500);
  });

  it("who may not is told so by a Status that names what was asked", async (t) => {
    const { target } = await serve(t, { authorize: async () => false });
    const { status, body } = await get(target, CONSOLE, AS_JANE);
    assert.deepEqual([status, body["kind"], body["reason"], body["code"]], [403, "Status", "Forbidden", 403]);
    assert.match(
      String(body["message"]),
      /"jane" cannot get .*virtualmachineinstances\/console.*namespace "default"/,
    );
  });
});

describe("discovery", () => {
  it("tells the group, its version and what is served", async (t) => {
    const { target, asked } = await serve(t);
    const group = await get(target, "/apis/subresources.kubevirt.io");
    assert.deepEqual(
      [group.status, group.body["kind"], group.body["name"]],
      [200, "APIGroup", "subresources.kubevirt.io"],
    );
    const { status, body } = await get(target, "/apis/subresources.kubevirt.io/v1?timeout=32s");
    assert.deepEqual(
      [status, body["kind"], body["groupVersion"]],
      [200, "APIResourceList", "subresources.kubevirt.io/v1"],
    );
    assert.deepEqual(
      (body["resources"] as { name: string; verbs: string[] }[]).map(({ name, verbs }) => `${verbs} ${name}`),
      [
        "get virtualmachineinstances/console",
        "get virtualmachineinstances/vnc",
        "get virtualmachineinstances/vnc/screenshot",
        "get virtualmachineinstances/portforward",
        "get virtualmachineinstances/guestosinfo",
        "get virtualmachineinstances/userlist",
        "get virtualmachineinstances/filesystemlist",
        "update virtualmachineinstances/freeze",
        "update virtualmachineinstances/unfreeze",
        "update virtualmachineinstances/pause",
        "update virtualmachineinstances/unpause",
        "update virtualmachineinstances/reset",
        "update virtualmachineinstances/softreboot",
        "update virtualmachines/start",
        "update virtualmachines/stop",
        "update virtualmachines/restart",
        "get virtualmachines/portforward",
        "get virtualmachines/expand-spec",
        "update expand-vm-spec",
      ],
    );
    assert.deepEqual(asked, []);
  });

  for (const group of ["subresources.kubevirt.io", "subresources.virtpod.io"]) {
    it(`has the version of ${group}, in the shape that virtctl reads`, async (t) => {
      const { target } = await serve(t);
      const { status, body } = await get(target, `/apis/${group}/v1/version`, AS_JANE);
      assert.equal(status, 200);
      assert.match(String(body["gitVersion"]), /^v\d+\.\d+\.\d+$/);
      for (const field of ["gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"])
        assert.equal(typeof body[field], "string", field);
    });
  }

  for (const path of [
    "/",
    "//",
    "/apis/other.io/v1",
    `${CONSOLE}x`,
    CONSOLE.replace("tiny", "%"),
    `${CONSOLE}//`,
  ]) {
    it(`answers ${path} with a Status`, async (t) => {
      const { target, errors } = await serve(t);
      const { status, body } = await get(target, path, AS_JANE);
      assert.deepEqual([status, body["kind"], body["reason"]], [404, "Status", "NotFound"]);
      assert.deepEqual(errors, []);
    });
  }
});

describe("a subresource that is no stream", () => {
  const INFO = CONSOLE.replace("console", "guestosinfo");
  const FREEZE = CONSOLE.replace("console", "freeze");

  async function withHandlers(t: TestContext): Promise<Serving & { readonly bodies: unknown[] }> {
    const bodies: unknown[] = [];
    const serving = await serve(t, {
      handlers: {
        "virtualmachineinstances/guestosinfo": {
          method: "GET",
          answer: async ({ name }) => ({ hostname: name }),
        },
        "virtualmachineinstances/freeze": {
          method: "PUT",
          answer: async (_path, body) => void bodies.push(body),
        },
      },
    });
    return { ...serving, bodies };
  }

  it("of our own group is none of KubeVirt's, nor the other way round", async (t) => {
    const { target, asked } = await serve(t, {
      handlers: {
        "virtualmachineinstances/network": {
          group: "subresources.virtpod.io",
          method: "GET",
          answer: async () => ({ interfaces: [] }),
        },
        "virtualmachineinstances/guestosinfo": { method: "GET", answer: async () => ({}) },
      },
    });
    const own = (path: string) => path.replace("subresources.kubevirt.io", "subresources.virtpod.io");
    const network = CONSOLE.replace("console", "network");
    assert.deepEqual((await get(target, own(network), AS_JANE)).body, { interfaces: [] });
    assert.equal(asked[0]?.path.group, "subresources.virtpod.io");
    assert.equal((await get(target, network, AS_JANE)).status, 404);
    assert.equal((await get(target, own(INFO), AS_JANE)).status, 404);
    assert.equal((await get(target, own(CONSOLE), AS_JANE)).status, 404);
    const { body } = await get(target, "/apis/subresources.virtpod.io/v1");
    assert.deepEqual(
      (body["resources"] as { name: string }[]).map(({ name }) => name),
      ["virtualmachineinstances/network", "virtualmachineinstances/usage"],
    );
  });

  it("is answered with its JSON, under the verb get", async (t) => {
    const { target, asked } = await withHandlers(t);
    const { status, body } = await get(target, INFO, AS_JANE);
    assert.deepEqual([status, body], [200, { hostname: "tiny" }]);
    assert.equal(asked[0]?.verb, "get");
  });

  it("that has nothing to say is answered with an empty 200, under the verb update", async (t) => {
    const { target, asked, bodies } = await withHandlers(t);
    assert.deepEqual(await put(target, FREEZE, AS_JANE, '{"a":1}'), { status: 200, text: "" });
    assert.deepEqual(await put(target, FREEZE, AS_JANE, ""), { status: 200, text: "" });
    assert.deepEqual(bodies, [{ a: 1 }, undefined]);
    assert.equal(asked[0]?.verb, "update");
  });

  it("is not asked for by another method, nor with a body that is no JSON or too long", async (t) => {
    const { target, bodies } = await withHandlers(t);
    assert.equal((await get(target, FREEZE, AS_JANE)).status, 405);
    assert.equal((await put(target, FREEZE, AS_JANE, "{")).status, 400);
    assert.equal((await put(target, FREEZE, AS_JANE, `"${"x".repeat(70_000)}"`)).status, 400);
    assert.deepEqual(bodies, []);
  });

  it("is found on VMIs only, and not in what every object has", async (t) => {
    const { target } = await withHandlers(t);
    assert.equal((await get(target, INFO.replace("instances/", "s/"), AS_JANE)).status, 404);
    assert.equal((await get(target, INFO.replace("guestosinfo", "constructor"), AS_JANE)).status, 404);
  });
});

describe("a subresource that KubeVirt has and virtpod has not", () => {
  const path = (name: string) => {
    const [resource, ...rest] = name.split("/");
    return `/apis/subresources.kubevirt.io/v1/namespaces/default/${resource}/tiny/${rest.join("/")}`;
  };
  for (const name of REFUSED_NAMES) {
    it(`is refused by name: ${name}`, async (t) => {
      const { target, asked } = await serve(t);
      const { status, text, headers } = await send(target, "PUT", path(name), AS_JANE, "{}");
      const { reason, message } = JSON.parse(text);
      assert.deepEqual([status, reason, headers.allow], [405, "MethodNotAllowed", ""]);
      assert.ok(message.startsWith(`${name}: virtpod `), message);
      assert.deepEqual([asked[0]?.verb, asked.length], ["update", 1]);
    });
  }

  it("is forbidden to whom it would be", async (t) => {
    const { target } = await serve(t, { authorize: async () => false });
    const { status } = await send(target, "PUT", path("virtualmachines/migrate"), AS_JANE, "{}");
    assert.equal(status, 403);
  });

  it("and has no name of a machine in it is refused as well", async (t) => {
    const { target } = await serve(t);
    const { status, body } = await get(target, "/apis/subresources.kubevirt.io/v1/guestfs", AS_JANE);
    assert.deepEqual([status, body["reason"]], [405, "MethodNotAllowed"]);
    assert.match(String(body["message"]), /--image/);
    const own = await get(target, "/apis/subresources.virtpod.io/v1/guestfs", AS_JANE);
    assert.equal(own.status, 404);
  });
});

describe("a request", () => {
  const HANDLERS = {
    "virtualmachineinstances/vnc/screenshot": {
      method: "GET",
      answer: async () => new Content("image/png", Buffer.from([0x89, 0, 0xff])),
    },
    "expand-vm-spec": {
      method: "PUT",
      maxBodyBytes: 100_000,
      answer: async (_: unknown, body: unknown) => body,
    },
  } as const;

  it("is answered with bytes of another type where they are no JSON", async (t) => {
    const { target, asked } = await serve(t, { handlers: HANDLERS });
    const path = `${CONSOLE.replace("console", "vnc/screenshot")}?moveCursor=true`;
    const { status, bytes, headers } = await send(target, "GET", path, AS_JANE);
    assert.deepEqual([status, headers["content-type"]], [200, "image/png"]);
    assert.deepEqual([...bytes], [0x89, 0, 0xff]);
    assert.equal(asked[0]?.path.subresource, "vnc/screenshot");
    assert.equal(asked[0]?.path.query?.get("moveCursor"), "true");
  });

  it("by namespace is authorised by the resource alone", async (t) => {
    const { target, asked } = await serve(t, { handlers: HANDLERS });
    const path = "/apis/subresources.kubevirt.io/v1/namespaces/default/expand-vm-spec";
    const body = JSON.stringify({ spec: "x".repeat(90_000) });
    assert.deepEqual(await put(target, path, AS_JANE, body), { status: 200, text: body });
    const { resource, subresource, name, namespace } = asked[0]?.path ?? {};
    assert.deepEqual([resource, subresource, name, namespace], ["expand-vm-spec", "", "", "default"]);
  });

  for (const [method, verb] of [
    ["POST", "create"],
    ["PATCH", "patch"],
    ["DELETE", "delete"],
  ] as const) {
    it(`by ${method} is authorised as ${verb}, and told which methods there are`, async (t) => {
      const { target, asked } = await serve(t, { handlers: HANDLERS });
      const path = CONSOLE.replace("console", "vnc/screenshot");
      const { status, headers } = await send(target, method, path, AS_JANE);
      assert.deepEqual([status, headers.allow, asked[0]?.verb], [405, "GET", verb]);
    });
  }

  it("by a method that Kubernetes has no verb for reaches nobody", async (t) => {
    const { target, asked } = await serve(t, { handlers: HANDLERS });
    assert.equal((await send(target, "OPTIONS", CONSOLE, AS_JANE)).status, 405);
    assert.deepEqual(asked, []);
  });

  it("for a port is authorised without port and protocol", async (t) => {
    const { target, asked } = await serve(t);
    await get(target, CONSOLE.replace("console", "portforward/22/udp"), AS_JANE);
    assert.equal(asked[0]?.path.subresource, "portforward");
    assert.deepEqual(asked[0]?.path.parameters, ["22", "udp"]);
  });
});
