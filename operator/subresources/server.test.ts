/** The aggregated API over real TLS, called as an API server's front proxy calls it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex, duplexPair } from "node:stream";
import { before, describe, it, type TestContext } from "node:test";
import { WebSocket } from "ws";
import {
  createAuthority,
  createServingCertificate,
  type KeyedCertificate,
} from "../certificates/authority.ts";
import type { Caller } from "./caller.ts";
import {
  dial,
  type FrontProxyAuthority,
  frontProxyAuthority,
  get,
  put,
  type Target,
} from "./front-proxy.fixture.ts";
import type { SubresourcePath } from "./path.ts";
import { PLAIN_PROTOCOL, SubresourceServer, type SubresourceServerOptions } from "./server.ts";
import { StatusError } from "./status.ts";

const SERVER_NAME = "virtpod-operator.virtpod.svc";
const CONSOLE = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/tiny/console";
const AS_JANE = ["X-Remote-User", "jane"];

/** But for the authority. */
const TRUST = {
  allowedNames: ["front-proxy-client"],
  usernameHeaders: ["X-Remote-User"],
  groupHeaders: ["X-Remote-Group"],
  extraHeaderPrefixes: ["X-Remote-Extra-"],
};

let authority: KeyedCertificate;
let serving: KeyedCertificate;
let proxy: FrontProxyAuthority;
before(async () => {
  authority = await createAuthority(Date.now());
  serving = await createServingCertificate(authority, [SERVER_NAME], Date.now());
  proxy = await frontProxyAuthority();
});

interface Serving {
  readonly target: Target;
  readonly asked: { caller: Caller; verb: string; path: SubresourcePath }[];
  readonly errors: string[];
  readonly server: SubresourceServer;
}

async function serve(t: TestContext, over: Partial<SubresourceServerOptions> = {}): Promise<Serving> {
  const asked: Serving["asked"] = [];
  const errors: string[] = [];
  const server = new SubresourceServer({
    certificate: serving,
    trust: { ...TRUST, clientCa: proxy.caPem },
    authorize: async (caller, verb, path) => {
      asked.push({ caller, verb, path });
      return true;
    },
    openStream: async () => {
      throw new StatusError("NotFound", 'virtualmachineinstances.kubevirt.io "tiny" not found');
    },
    handlers: {},
    onError: (_request, error) => errors.push(String(error)),
    port: 0,
    host: "127.0.0.1",
    ...over,
  });
  const port = await server.listen();
  t.after(() => server.close());
  const client = await proxy.issue("front-proxy-client");
  const target = { port, servername: SERVER_NAME, ca: authority.certificatePem, client };
  return { target, asked, errors, server };
}

/** A websocket as virtctl opens it, by way of the front proxy. */
async function openConsole({ target }: Serving, protocols: string[] = [PLAIN_PROTOCOL]): Promise<WebSocket> {
  const socket = await dial(target);
  return new WebSocket(`ws://${SERVER_NAME}${CONSOLE}`, protocols, {
    createConnection: () => socket,
    headers: { "X-Remote-User": "jane" },
    perMessageDeflate: false,
  });
}

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
      ],
    );
    assert.deepEqual(asked, []);
  });

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
      ["virtualmachineinstances/network"],
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

describe("a console", () => {
  it("of a VMI that isn't there is refused with a Status before the upgrade", async (t) => {
    const websocket = await openConsole(await serve(t));
    const [, response] = await once(websocket, "unexpected-response");
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    assert.deepEqual([response.statusCode, body.kind, body.reason], [404, "Status", "NotFound"]);
  });

  it("without an upgrade is a bad request", async (t) => {
    const { target } = await serve(t);
    assert.equal((await get(target, CONSOLE, AS_JANE)).status, 400);
  });

  it("carries bytes both ways under virtctl's protocol", async (t) => {
    const [guest, stream] = duplexPair();
    const websocket = await openConsole(await serve(t, { openStream: async () => stream }));
    await once(websocket, "open");
    assert.equal(websocket.protocol, PLAIN_PROTOCOL);
    const fromGuest = once(websocket, "message");
    guest.write("login: ");
    assert.equal(String((await fromGuest)[0]), "login: ");
    const fromUser = once(guest, "data");
    websocket.send(Buffer.from("root\n"));
    assert.equal(String((await fromUser)[0]), "root\n");
    websocket.terminate();
  });

  for (const [who, leave] of [
    ["leaves", (websocket: WebSocket) => websocket.close()],
    ["vanishes", (websocket: WebSocket) => websocket.terminate()],
  ] as const) {
    it(`is closed towards the guest when the client ${who}`, async (t) => {
      const [guest, stream] = duplexPair();
      const websocket = await openConsole(await serve(t, { openStream: async () => stream }));
      await once(websocket, "open");
      const closed = once(stream, "close");
      guest.resume();
      leave(websocket);
      await closed;
    });
  }

  it("is closed towards the client when the guest ends", async (t) => {
    const [guest, stream] = duplexPair();
    const websocket = await openConsole(await serve(t, { openStream: async () => stream }));
    await once(websocket, "open");
    guest.end();
    guest.resume();
    await once(websocket, "close");
  });

  it("is not held open for a handshake that is no websocket's", async (t) => {
    const [, stream] = duplexPair();
    const it = await serve(t, { openStream: async () => stream });
    const socket = await dial(it.target);
    const closed = once(stream, "close");
    socket.write(
      `GET ${CONSOLE} HTTP/1.1\r\nHost: x\r\nX-Remote-User: jane\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    );
    await closed;
    assert.match(String((await once(socket, "data"))[0]), /^HTTP\/1.1 400/);
    socket.destroy();
  });

  it("takes no more from the guest than a client reads, but for what buffers on the way hold", async (t) => {
    let taken = 0;
    const flood = new Duplex({
      read() {
        taken += 64 * 1024;
        this.push(Buffer.alloc(64 * 1024, "x"));
      },
      write: (_chunk, _encoding, done) => done(),
    });
    const websocket = await openConsole(await serve(t, { openStream: async () => flood }));
    await once(websocket, "open");
    websocket.pause();
    await settled(() => taken);
    // Two sockets' kernel buffers and the streams between: megabytes, not what an endless source could give.
    assert(taken < 32 * 1024 * 1024, `${taken} bytes taken`);
    const before = taken;
    websocket.resume();
    while (taken === before) await new Promise((resolve) => setImmediate(resolve));
    websocket.terminate();
  });

  it("doesn't keep the server from closing while its caller is being looked up", async (t) => {
    const looking = Promise.withResolvers<void>();
    const it = await serve(t, {
      authorize: async () => {
        looking.resolve();
        return new Promise(() => {});
      },
    });
    const websocket = await openConsole(it);
    websocket.on("error", () => {});
    await looking.promise;
    await it.server.close();
  });
});

/** Until a count has not moved for many turns of the event loop. */
async function settled(count: () => number): Promise<void> {
  for (let [seen, calm] = [count(), 0]; calm < 2_000; calm++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (count() !== seen) [seen, calm] = [count(), 0];
  }
}
