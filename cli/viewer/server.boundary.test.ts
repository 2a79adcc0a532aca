/** The page's server on loopback: who is let in, what reaches the guest, what the page is told. */
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, test } from "node:test";
import { WebSocket as Client, type WebSocket, WebSocketServer } from "ws";
import { Refusal } from "../request.ts";
import { serveViewer, type Viewer } from "./server.ts";

interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

describe("the page of a guest's screen", () => {
  let guests: WebSocketServer;
  let open: () => Promise<WebSocket>;
  let viewer: Viewer;

  before(async () => {
    guests = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await new Promise((resolve) => guests.once("listening", resolve));
    const { port } = guests.address() as { readonly port: number };
    const dial = () =>
      new Promise<WebSocket>((resolve) => {
        const socket = new Client(`ws://127.0.0.1:${port}`);
        socket.once("open", () => {
          socket.pause();
          resolve(socket);
        });
      });
    open = dial;
    viewer = await serveViewer({ title: "demo/<b>", script: "let here;", port: 0, open: () => open() });
  });
  after(() => {
    viewer.close();
    guests.close();
    for (const socket of guests.clients) socket.terminate();
  });

  const path = () => new URL(viewer.url).pathname;
  const ask = (pathname: string, headers: Record<string, string> = {}, method = "GET") =>
    new Promise<Answer>((resolve, reject) => {
      const asked = request(
        { host: "127.0.0.1", port: viewer.port, path: pathname, method, headers },
        (response) => {
          let body = "";
          response.on("data", (chunk: Buffer) => (body += chunk.toString()));
          response.once("end", () =>
            resolve({ status: response.statusCode, headers: response.headers, body }),
          );
        },
      );
      asked.once("error", reject).end();
    });
  const dial = (pathname: string, headers: Record<string, string>) =>
    new Promise<Client | number>((resolve) => {
      const socket = new Client(`ws://127.0.0.1:${viewer.port}${pathname}`, { headers });
      socket.once("open", () => resolve(socket));
      socket.once("unexpected-response", (_asked, response) => resolve(response.statusCode ?? 0));
      socket.on("error", () => {});
    });
  const origin = () => ({ origin: `http://127.0.0.1:${viewer.port}` });

  test("is served to who knows its URL, with nothing from elsewhere in it", async () => {
    const { status, headers, body } = await ask(path());
    assert.equal(status, 200);
    assert.match(body, /<title>demo\/&#60;b&#62;<\/title>/);
    assert.match(String(headers["content-security-policy"]), /default-src 'none'.*frame-ancestors 'none'/);
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal(headers["cache-control"], "no-store");
    const script = await ask(`${path()}viewer.js`);
    assert.deepEqual([script.status, script.body], [200, "let here;"]);
  });

  test("has another URL each time", async () => {
    const other = await serveViewer({ title: "x", script: "", port: 0, open });
    other.close();
    assert.notEqual(new URL(other.url).pathname, path());
    assert.ok(path().length >= 32);
  });

  for (const [what, pathname, headers, method, expected] of [
    ["without the token", () => "/", {}, "GET", 404],
    ["with another token", () => `/${"x".repeat(32)}/`, {}, "GET", 404],
    ["with the token and more", () => `${path()}../etc/passwd`, {}, "GET", 404],
    ["under another name, which somebody has led here", path, { host: "evil.example" }, "GET", 403],
    ["by POST", path, {}, "POST", 404],
  ] as const)
    test(`is not served ${what}`, async () => {
      assert.equal((await ask(pathname(), headers, method)).status, expected);
    });

  for (const [what, pathname, headers] of [
    ["another page", () => `${path()}socket`, () => ({ origin: "http://evil.example" })],
    ["no page", () => `${path()}socket`, () => ({})],
    [
      "a page under another name",
      () => `${path()}socket`,
      () => ({ origin: "http://evil.example", host: "evil.example" }),
    ],
    ["a page that knows no token", () => "/socket", origin],
  ] as const)
    test(`opens no socket for ${what}`, async () => {
      assert.equal(await dial(pathname(), headers() as Record<string, string>), 403);
    });

  test("joins the page with the guest, and tells why it ended", async () => {
    const guestSide = new Promise<WebSocket>((resolve) => guests.once("connection", resolve));
    const page = await dial(`${path()}socket`, origin());
    assert.ok(page instanceof Client);
    const guest = await guestSide;
    const heard = new Promise<string>((resolve) => guest.once("message", (data) => resolve(String(data))));
    page.send("typed");
    assert.equal(await heard, "typed");
    const shown = new Promise<string>((resolve) => page.once("message", (data) => resolve(String(data))));
    guest.send("pixels");
    assert.equal(await shown, "pixels");
    const end = new Promise((resolve) =>
      page.once("close", (code, reason) => resolve([code, String(reason)])),
    );
    guest.close(4001, "somebody else looks now");
    assert.deepEqual(await end, [4001, "somebody else looks now"]);
  });

  test("leaves the guest when the page is closed", async () => {
    const guestSide = new Promise<WebSocket>((resolve) => guests.once("connection", resolve));
    const page = await dial(`${path()}socket`, origin());
    assert.ok(page instanceof Client);
    const guest = await guestSide;
    const left = new Promise((resolve) => guest.once("close", resolve));
    page.close();
    await left;
  });

  for (const [what, status, code] of [
    ["a refusal that stands", 403, 4004],
    ["one that time may heal", 503, 1013],
  ] as const)
    test(`tells the page of ${what}, in as many words as a frame has room for`, async () => {
      const before = open;
      open = () => Promise.reject(new Refusal("ä".repeat(100), status));
      const page = await dial(`${path()}socket`, origin());
      assert.ok(page instanceof Client);
      const end = await new Promise((resolve) =>
        page.once("close", (seen, reason) => resolve([seen, String(reason)])),
      );
      open = before;
      assert.deepEqual(end, [code, "ä".repeat(61)]);
    });
});
