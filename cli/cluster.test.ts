import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocketServer } from "ws";
import { type Cluster, clusterOf } from "./cluster.ts";
import { CliError } from "./errors.ts";
import { getJson } from "./request.ts";
import { openStream } from "./stream.ts";

let folder: string;
let files = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "cluster-"));
});
after(() => rm(folder, { recursive: true }));

interface Written {
  readonly user?: object;
  readonly server?: string;
  readonly more?: object;
}

async function written({ user = {}, server = "https://127.0.0.1:1", more = {} }: Written): Promise<string> {
  const path = join(folder, `kubeconfig-${++files}`);
  const config = {
    "current-context": "here",
    clusters: [{ name: "there", cluster: { server, ...more } }],
    users: [{ name: "me", user }],
    contexts: [{ name: "here", context: { cluster: "there", user: "me", namespace: "demo" } }],
  };
  await writeFile(path, JSON.stringify(config));
  return path;
}

const opened = async (content: Written) => clusterOf({ kubeconfig: await written(content) });

const exec = (command: string, ...args: readonly string[]) => ({
  exec: { apiVersion: "client.authentication.k8s.io/v1", command, args, interactiveMode: "Never" },
});
const plugin = (script: string) => exec(process.execPath, "--eval", script);

const sentence = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof CliError, String(error));
  assert.match(error.message, message);
  assert.equal(error.exitCode, 1);
  return true;
};

describe("credentials that can't be used are a sentence", () => {
  for (const [what, content, message] of [
    [
      "a plugin that isn't there",
      { user: exec("no-such-plugin") },
      /^the kubeconfig's credentials can't be used: there is no program no-such-plugin: install it, or put it into the PATH$/,
    ],
    [
      "a plugin that fails, in its own words",
      { user: plugin('console.error("\\n\\x1b[31mlog in\\n  first"); process.exitCode = 3') },
      /^the kubeconfig's credentials can't be used: \?\[31mlog in first$/,
    ],
    [
      "a plugin that fails without a word",
      { user: plugin("process.exitCode = 3") },
      /^the kubeconfig's credentials can't be used: the plugin failed and said nothing$/,
    ],
    [
      "a plugin that prints something else",
      { user: plugin('console.log("hello")') },
      /can't be used: .*JSON/,
    ],
    [
      "a certificate whose file is gone",
      { user: { "client-certificate": "/nonexistent/c.pem", "client-key": "/nonexistent/k.pem" } },
      /^the kubeconfig's credentials can't be used: ENOENT.* '\/nonexistent\/c\.pem'$/,
    ],
    [
      "an authority whose file is gone",
      { more: { "certificate-authority": "/nonexistent/ca.pem" } },
      /^the kubeconfig's credentials can't be used: ENOENT.* '\/nonexistent\/ca\.pem'$/,
    ],
  ] as readonly (readonly [string, Written, RegExp])[])
    test(what, async () => {
      const cluster = await opened(content);
      await assert.rejects(getJson(cluster, "/version"), sentence(message));
      await assert.rejects(openStream(cluster, "/console"), (error: unknown) => {
        assert.ok(error instanceof CliError && error.cause instanceof Error);
        return sentence(message)(error);
      });
    });

  for (const [what, user] of [
    ["a certificate that is none", { "client-certificate-data": "bm9uZQ==", "client-key-data": "bm9uZQ==" }],
    ["a token with a line's end in it", { token: "one\ntwo" }],
  ] as const)
    test(what, async () => {
      const cluster = await opened({ user });
      await assert.rejects(getJson(cluster, "/version"), sentence(/^can't reach 127\.0\.0\.1:1: ./));
      await assert.rejects(openStream(cluster, "/console"), sentence(/^can't reach 127\.0\.0\.1:1: ./));
    });
});

describe("a server that is no URL of HTTP is a sentence", () => {
  for (const server of ["127.0.0.1:6443", "localhost:6443", "k8s.example", "ftp://k8s.example"])
    test(server, () =>
      assert.rejects(
        opened({ server }),
        sentence(new RegExp(`^the kubeconfig's server ${server} is no URL: write https://HOST:PORT$`)),
      ),
    );
});

test("a host that answers at none of its addresses is named with what each said", async () => {
  const addresses = [
    { address: "127.0.0.1", family: 4 },
    { address: "127.0.0.2", family: 4 },
  ];
  const cluster: Cluster = {
    server: new URL("http://k8s.example:1"),
    namespace: "demo",
    credentials: async () => ({ lookup: (_host, _options, found) => found(null, addresses) }),
  };
  const message = /^can't reach k8s\.example:1: connect .* 127\.0\.0\.1:1, connect .* 127\.0\.0\.2:1$/;
  await assert.rejects(getJson(cluster, "/version"), sentence(message));
  await assert.rejects(openStream(cluster, "/console"), sentence(message));
});

describe("a server without TLS, as kubectl proxy is one", () => {
  let server: Server;
  let address: string;
  let asked: IncomingHttpHeaders[];
  before(async () => {
    const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => "plain.kubevirt.io" });
    server = createServer((request, response) => {
      asked.push(request.headers);
      response.end('{"major":"1"}');
    });
    server.on("upgrade", (request, socket, head) => {
      asked.push(request.headers);
      sockets.handleUpgrade(request, socket, head, (guest) => guest.send("hello"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => server.close());

  for (const [what, content] of [
    ["no credentials", {}],
    ["a token, which stays here", { user: { token: "secret" } }],
    ["a plugin, which isn't run", { user: exec("no-such-plugin") }],
    ["an authority, which isn't read", { more: { "certificate-authority": "/nonexistent/ca.pem" } }],
    ["certificates unchecked", { user: { token: "secret" }, more: { "insecure-skip-tls-verify": true } }],
  ] as readonly (readonly [string, Written])[])
    test(`is asked, with ${what}`, async () => {
      asked = [];
      const cluster = await opened({ ...content, server: `HTTP://${address}` });
      assert.equal(cluster.namespace, "demo");
      assert.deepEqual(await getJson(cluster, "/version"), { major: "1" });
      const guest = await openStream(cluster, "/console");
      const said = new Promise((resolve) => guest.once("message", resolve));
      guest.resume();
      assert.equal(String(await said), "hello");
      guest.terminate();
      assert.deepEqual(
        asked.map(({ authorization }) => authorization),
        [undefined, undefined],
      );
    });

  test("is told whom to take the person for", async () => {
    asked = [];
    await getJson(await opened({ user: { as: "eve" }, server: `http://${address}` }), "/version");
    assert.equal(asked[0]?.["impersonate-user"], "eve");
  });

  test("is asked through the kubeconfig's proxy", async () => {
    asked = [];
    const wanted: (string | undefined)[] = [];
    server.on("connect", (request, socket) => {
      wanted.push(request.url);
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      server.emit("connection", socket);
    });
    const cluster = await opened({
      server: "http://k8s.example",
      more: { "proxy-url": `http://${address}` },
    });
    assert.deepEqual(await getJson(cluster, "/version"), { major: "1" });
    assert.deepEqual(wanted, ["k8s.example:80"]);
    assert.equal(asked[0]?.host, "k8s.example");
  });
});
