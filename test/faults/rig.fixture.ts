/** A client, the proxy and a fake API server on loopback, for the tests of the wire. */
import assert from "node:assert/strict";
import { type ClientHttp2Session, connect as connectHttp2, type Settings } from "node:http2";
import { afterEach, beforeEach } from "node:test";
import { anonymous } from "../../kube/config.ts";
import { FakeApiServer } from "../../kube/fake/server.ts";
import { listen } from "../../kube/fake/transport.ts";
import { CONFIG_MAPS, PODS } from "../../kube/resources.ts";
import { UndiciTransport } from "../../kube/undici-transport.ts";
import { PROXY_NAME, proxyCertificate } from "./certificate.ts";
import type { Fault, WatchEvent } from "./fault.ts";
import { FaultProxy } from "./proxy.ts";

export const PODS_PATH = "/api/v1/namespaces/default/pods";
export const TIMEOUT = { timeout: 60_000 };

export let server: FakeApiServer;
let closeServer: () => Promise<void>;
export let proxy: FaultProxy;
let transports: UndiciTransport[];
const { ca, certificate } = await proxyCertificate();

/** A fake API server behind the proxy, anew for each test of the file that calls it. */
export function useRig(): void {
  beforeEach(async () => {
    server = new FakeApiServer({ resources: [PODS, CONFIG_MAPS] });
    const upstream = await listen(server);
    closeServer = upstream.close;
    proxy = await FaultProxy.start({ host: "127.0.0.1", server: upstream.url, ca: "", certificate });
    transports = [];
  });

  afterEach(async () => {
    await Promise.all(transports.map((transport) => transport.close()));
    await proxy.close();
    await closeServer();
  });
}

export function connect(options: { http2?: boolean } = {}): UndiciTransport {
  const tls = { ca, servername: PROXY_NAME };
  const transport = new UndiciTransport(
    { server: proxy.url, tls, credentials: anonymous, namespace: "default" },
    options,
  );
  transports.push(transport);
  return transport;
}

/** A bare session, to do with what no client does. */
export function connectSession(settings: Settings): ClientHttp2Session {
  return connectHttp2(proxy.url, { ca, servername: PROXY_NAME, settings });
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export async function ask(transport: UndiciTransport, method: Method, path: string, body?: object) {
  const response = await transport.send({
    method,
    path,
    headers: { accept: "application/json", "content-type": "application/json" },
    signal: AbortSignal.timeout(30_000),
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const json = () => JSON.parse(text) as { metadata: Record<string, string>; items: unknown[] };
  return { status: response.statusCode, headers: response.headers, text, json };
}

/** A watch as bytes: how it ends is part of what is tested. */
export class Watch {
  text = "";
  readonly status: number;
  /** "end" for an orderly end, else the failure. */
  readonly ended: Promise<"end" | Error>;
  readonly #abort: AbortController;
  #wake: () => void = () => {};

  private constructor(status: number, body: AsyncIterable<Uint8Array>, abort: AbortController) {
    this.status = status;
    this.#abort = abort;
    const read = async () => {
      for await (const chunk of body) {
        this.text += Buffer.from(chunk).toString();
        this.#wake();
      }
    };
    this.ended = read().then(
      () => "end" as const,
      (error: unknown) => error as Error,
    );
    void this.ended.then(() => this.#wake());
  }

  static async open(transport: UndiciTransport, query = "watch=true", path = PODS_PATH): Promise<Watch> {
    const abort = new AbortController();
    const response = await transport.send({
      method: "GET",
      path: `${path}?${query}`,
      headers: {},
      signal: abort.signal,
    });
    return new Watch(response.statusCode, response.body, abort);
  }

  get events(): WatchEvent[] {
    return this.text
      .split("\n")
      .filter((line) => line.endsWith("}"))
      .map((line) => JSON.parse(line) as WatchEvent);
  }

  get names(): string[] {
    return this.events.map(({ type, object }) => `${type} ${object.metadata.name ?? ""}`);
  }

  async until(what: () => boolean): Promise<void> {
    const deadline = Date.now() + 10_000;
    while (!what()) {
      assert.ok(Date.now() < deadline, `never came: ${what}; got ${this.text.slice(0, 500)}`);
      const wait = setTimeout(() => this.#wake(), 500);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      clearTimeout(wait);
    }
  }

  close(): void {
    this.#abort.abort(new Error("the test is over"));
  }
}

export const podNamed = (name: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: { containers: [] },
});

/** Straight at the server, past the proxy. */
export async function makePod(name: string): Promise<string> {
  const { body } = (await server.handle({
    method: "POST",
    path: PODS_PATH,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(podNamed(name)),
  })) as { body: { metadata: { resourceVersion: string } } };
  return body.metadata.resourceVersion;
}

export async function armed(fault: Fault): Promise<Fault> {
  await proxy.arm(fault);
  return fault;
}

export function assertFired(fault: Fault, times: number): void {
  assert.equal(proxy.fired(fault), times, `${fault.name} struck ${proxy.fired(fault)} times`);
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `never came true: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
