import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { FakeClock } from "../lib/fake-clock.ts";
import { Client } from "./client.ts";
import { loadConfig } from "./connect.ts";
import { ConfigError } from "./errors.ts";
import { inClusterConfig } from "./in-cluster.ts";
import { kubeconfig } from "./kubeconfig.ts";
import { selfSigned } from "./testing/certificates.ts";
import type { Transport } from "./transport.ts";
import { UndiciTransport } from "./undici-transport.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "kubeconfig-"));
});
after(() => rm(folder, { recursive: true }));

/** A plugin that notes each run and prints the credentials of that run; the last ones from then on. */
async function plugin(name: string, statuses: readonly object[]): Promise<{ exec: object; runs: string }> {
  const script = join(folder, `${name}.mjs`);
  const runs = join(folder, `${name}.runs`);
  await writeFile(
    script,
    `import { appendFileSync, readFileSync } from "node:fs";
    appendFileSync(${JSON.stringify(runs)}, process.env.KUBERNETES_EXEC_INFO + "\\n");
    const run = readFileSync(${JSON.stringify(runs)}, "utf8").trim().split("\\n").length;
    const statuses = ${JSON.stringify(statuses)};
    const status = statuses[Math.min(run, statuses.length) - 1];
    console.log(JSON.stringify({ kind: "ExecCredential", apiVersion: "client.authentication.k8s.io/v1", status }));`,
  );
  const apiVersion = "client.authentication.k8s.io/v1";
  return { exec: { apiVersion, command: process.execPath, args: [script], interactiveMode: "Never" }, runs };
}

async function file(
  name: string,
  user: object,
  server = "https://127.0.0.1:1",
  ca?: string,
): Promise<string> {
  const path = join(folder, name);
  const data = ca === undefined ? {} : { "certificate-authority-data": Buffer.from(ca).toString("base64") };
  const config = {
    "current-context": "here",
    clusters: [{ name: "here", cluster: { server, ...data } }],
    users: [{ name: "me", user }],
    contexts: [{ name: "here", context: { cluster: "here", user: "me", namespace: "mine" } }],
  };
  await writeFile(path, JSON.stringify(config));
  return path;
}

const lines = async (path: string) => (await readFile(path, "utf8")).trim().split("\n");
const PAST = "2020-01-01T00:00:00Z";
const FUTURE = "2999-01-01T00:00:00Z";

describe("a kubeconfig with a credential plugin", () => {
  test("runs it once for any number of requests, and again after a 401 although its token had not expired", async () => {
    const tokens = [1, 2, 3].map((n) => ({ token: `token-${n}`, expirationTimestamp: FUTURE }));
    const { exec, runs } = await plugin("token", tokens);
    const clock = new FakeClock();
    const { credentials } = await kubeconfig({ files: await file("token.yaml", { exec }), clock });
    clock.advance(3_600_000);
    const all = await Promise.all(Array.from({ length: 5 }, () => credentials.headers()));
    assert.deepEqual(new Set(all.map((headers) => headers["authorization"])), new Set(["Bearer token-1"]));
    const refused = all[0] ?? assert.fail();
    assert.equal(credentials.refresh(refused), true);
    assert.equal((await credentials.headers())["authorization"], "Bearer token-2");
    credentials.refresh(refused);
    assert.equal((await credentials.headers())["authorization"], "Bearer token-2", "it is new already");
    const [info = ""] = await lines(runs);
    assert.deepEqual(JSON.parse(info), {
      apiVersion: "client.authentication.k8s.io/v1",
      kind: "ExecCredential",
      spec: { interactive: false },
    });
    assert.equal((await lines(runs)).length, 2);
  });

  test("of 401s to requests at once makes one run of the plugin", async () => {
    const tokens = [1, 2, 3, 4].map((n) => ({ token: `token-${n}`, expirationTimestamp: FUTURE }));
    const { exec, runs } = await plugin("rejected", tokens);
    const { credentials } = await kubeconfig({ files: await file("rejected.yaml", { exec }) });
    const transport: Transport = {
      host: "test",
      send: async ({ headers }) => {
        await new Promise((resolve) => setImmediate(resolve));
        const statusCode = headers["authorization"] === "Bearer token-1" ? 401 : 200;
        const body = (async function* () {
          yield Buffer.from("{}");
        })();
        return { statusCode, headers: {}, body };
      },
      close: async () => {},
    };
    const client = new Client({ transport, credentials, userAgent: "test" });
    const read = () => client.request({ method: "GET", path: "/version", action: "get version" });
    await Promise.all(Array.from({ length: 8 }, read));
    assert.equal((await lines(runs)).length, 2);
  });

  test("presents its next client certificate on new connections, and lets what is under way end on the old", async () => {
    const [serving, first, second] = await Promise.all(
      ["server", "first", "second"].map((name) => selfSigned(name)),
    );
    assert.ok(serving !== undefined && first !== undefined && second !== undefined);
    const server = createSecureServer(
      { ...serving, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        const socket = request.stream.session?.socket as TLSSocket | undefined;
        response.writeHead(200);
        response.write(String(socket?.getPeerCertificate().subject.CN));
        if (request.url !== "/stream") {
          response.end();
        } else {
          request.stream.on("end-it", () => response.end(" to the end"));
          streams.push(() => request.stream.emit("end-it"));
        }
      },
    );
    const streams: (() => void)[] = [];
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const statuses = [first, second].map(({ cert, key }) => ({
      clientCertificateData: cert,
      clientKeyData: key,
      expirationTimestamp: PAST,
    }));
    const { exec } = await plugin("certificate", statuses);
    const clock = new FakeClock();
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const config = await kubeconfig({
      files: await file("certificate.yaml", { exec }, url, serving.cert),
      clock,
    });
    const transport = new UndiciTransport(config);
    const client = new Client({ transport, credentials: config.credentials, userAgent: "test" });
    const who = () => client.requestText({ method: "GET", path: "/", action: "ask who I am" });
    const stop = new AbortController();
    const { body } = await client.stream({ path: "/stream", action: "watch", signal: stop.signal });
    const watched = body[Symbol.asyncIterator]();
    assert.equal(Buffer.from((await watched.next()).value).toString(), "first");
    assert.equal(await who(), "first");
    clock.advance(10_000);
    assert.deepEqual([await who(), await who()], ["second", "second"]);
    streams[0]?.();
    assert.equal(Buffer.from((await watched.next()).value).toString(), " to the end");
    assert.equal((await watched.next()).done, true);
    while (transport.connections > 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    await client.close();
    server.close();
  });

  test("says whose credentials failed and why", async () => {
    const exec = {
      apiVersion: "client.authentication.k8s.io/v1",
      command: process.execPath,
      args: ["-e", "console.error('log in first'); process.exit(1)"],
    };
    const files = await file("broken.yaml", { exec });
    await assert.rejects(kubeconfig({ files }), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /credentials of me in the kubeconfig: log in first/);
      return true;
    });
  });
});

test("of several kubeconfigs the first that names a thing wins, and missing ones are passed over", async () => {
  const one = await file("one.yaml", { token: "one" }, "https://one.example.com");
  const two = await file("two.yaml", { token: "two" }, "https://two.example.com");
  const missing = join(folder, "missing.yaml");
  const config = await kubeconfig({ files: [missing, one, two].join(":") });
  assert.deepEqual([config.server, config.namespace], ["https://one.example.com", "mine"]);
  assert.deepEqual(await config.credentials.headers(), { authorization: "Bearer one" });
  await assert.rejects(kubeconfig({ files: missing }), ConfigError);
  await assert.rejects(
    kubeconfig({ files: one, context: "elsewhere" }),
    /context elsewhere names no cluster/,
  );
});

test("a kubeconfig's cluster may name another server than it dials, or have its certificate not checked", async () => {
  const path = join(folder, "lax.yaml");
  const tls = async (cluster: object) => {
    const clusters = [{ name: "lax", cluster: { server: "https://127.0.0.1:1", ...cluster } }];
    const contexts = [{ name: "lax", context: { cluster: "lax", user: "me" } }];
    const users = [{ name: "me", user: { token: "t" } }];
    await writeFile(path, JSON.stringify({ "current-context": "lax", clusters, contexts, users }));
    return (await kubeconfig({ files: path })).tls;
  };
  assert.deepEqual(await tls({}), {});
  assert.deepEqual(await tls({ "insecure-skip-tls-verify": true }), { rejectUnauthorized: false });
  assert.deepEqual(await tls({ "tls-server-name": "api.example.com" }), { servername: "api.example.com" });
});

test("a kubeconfig that is named goes before the pod's service account", async () => {
  const named = await file("named.yaml", { token: "named" }, "https://named.example.com");
  const environment = { KUBERNETES_SERVICE_HOST: "10.0.0.1" };
  const configs = [
    await loadConfig({ environment, kubeconfig: named }),
    await loadConfig({ environment: { ...environment, KUBECONFIG: named } }),
  ];
  for (const { server } of configs) assert.equal(server, "https://named.example.com");
  await assert.rejects(loadConfig({ environment, context: "elsewhere" }), ConfigError);
});

test("in a pod an empty KUBECONFIG is none, and token and authority are read anew each minute", async () => {
  const directory = join(folder, "account");
  await mkdir(directory);
  const write = (token: string, ca: string) =>
    Promise.all([writeFile(join(directory, "token"), token), writeFile(join(directory, "ca.crt"), ca)]);
  await write("one", "authority one");
  const clock = new FakeClock();
  const environment = { KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBECONFIG: "" };
  const config = await inClusterConfig(environment, { directory, clock });
  const before = config.tls;
  assert.deepEqual([config.server, before], ["https://10.0.0.1:443", { ca: "authority one" }]);
  clock.advance(60_000);
  await config.credentials.headers();
  assert.equal(config.tls, before, "nothing was rotated: connections stay");
  await write("two", "authority two");
  clock.advance(60_000);
  assert.deepEqual(await config.credentials.headers(), { authorization: "Bearer two" });
  assert.deepEqual(config.tls, { ca: "authority two" });
  await assert.rejects(loadConfig({ environment }), /serviceaccount/, "not a kubeconfig");
});
