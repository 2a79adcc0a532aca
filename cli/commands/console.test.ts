import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, describe, type TestContext, test } from "node:test";
import { type WebSocket, WebSocketServer } from "ws";
import { CliError } from "../errors.ts";
import { console_ } from "./console.ts";

/** To reach the console, as the API server sees it. */
interface Attempt {
  accept(): void;
  refuse(): void;
}

describe("a console whose connection is lost", () => {
  let folder: string;
  let kubeconfig: string;
  let server: Server;
  let guests: WebSocketServer;
  /** What becomes of the attempts after the first, whose connection is lost at once. */
  let again: (attempt: Attempt) => void;
  let attempts: number;

  before(async () => {
    guests = new WebSocketServer({ noServer: true, handleProtocols: () => "plain.kubevirt.io" });
    server = createServer();
    let isGone: Promise<unknown>;
    server.on("upgrade", (request, socket, head) => {
      const accept = (then: (guest: WebSocket) => void) => guests.handleUpgrade(request, socket, head, then);
      const refuse = () => socket.end("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
      attempts += 1;
      if (attempts > 1) return void isGone.then(() => again({ accept: () => accept(() => {}), refuse }));
      accept((guest) => {
        isGone = once(guest, "close");
        guest.close(1012, "lost");
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    folder = await mkdtemp(join(tmpdir(), "console-"));
    kubeconfig = join(folder, "kubeconfig");
    const config = {
      "current-context": "here",
      clusters: [
        {
          name: "there",
          cluster: { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` },
        },
      ],
      contexts: [{ name: "here", context: { cluster: "there", user: "" } }],
    };
    await writeFile(kubeconfig, JSON.stringify(config));
  });
  after(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });

  /** Attaches with `stdin` and tells how it ended, or that it is connected again. */
  async function attached(t: TestContext, stdin: PassThrough): Promise<string> {
    attempts = 0;
    const timersBefore = timers();
    t.mock.getter(process, "stdin", () => stdin);
    const connectedAgain = new Promise<string>((resolve) => {
      t.mock.method(process.stderr, "write", (text: string) => {
        if (text.startsWith("Connected again")) resolve("connected again");
        return true;
      });
    });
    const left = console_("tiny", { kubeconfig, timeout: 0 }).then(
      () => "left",
      (error: unknown) => {
        assert.ok(error instanceof CliError && error.exitCode === 0, String(error));
        return "left";
      },
    );
    const outcome = await Promise.race([left, connectedAgain]);
    // One that remained would keep the program from ending.
    if (outcome === "left") assert.equal(timers(), timersBefore);
    // Whatever became of it, it ends with its test.
    stdin.emit("data", Buffer.from("\x1d"));
    await left;
    assert.deepEqual([stdin.listenerCount("data"), stdin.listenerCount("end")], [0, 0]);
    t.mock.restoreAll();
    for (const guest of guests.clients) {
      guest.terminate();
      await once(guest, "close");
    }
    return outcome;
  }

  const timers = () => process.getActiveResourcesInfo().filter((what) => what === "Timeout").length;
  const ended = async (stdin: PassThrough) => {
    stdin.end();
    await once(stdin, "end");
  };

  for (const [what, leave] of [
    ["standard input ends", ended],
    ["Ctrl+] is pressed", async (stdin: PassThrough) => void stdin.write("\x1d")],
  ] as const) {
    test(`is left when ${what} while it is away`, async (t) => {
      const stdin = new PassThrough();
      again = ({ accept, refuse }) => {
        if (attempts > 2) return accept();
        refuse();
        void leave(stdin);
      };
      assert.equal(await attached(t, stdin), "left");
      assert.equal(attempts, 2);
    });

    test(`is left when ${what} just before it is back`, async (t) => {
      const stdin = new PassThrough();
      again = ({ accept }) => void leave(stdin).then(accept);
      assert.equal(await attached(t, stdin), "left");
    });
  }

  test("is left when standard input ends as the connection does", async (t) => {
    const stdin = new PassThrough();
    // Nobody listens for the end any more, and nobody yet.
    stdin.once("removeListener", (event) => {
      if (event === "data") stdin.end();
    });
    again = ({ accept }) => accept();
    assert.equal(await attached(t, stdin), "left");
  });

  test("is connected again", async (t) => {
    const stdin = new PassThrough();
    again = ({ accept }) => accept();
    assert.equal(await attached(t, stdin), "connected again");
  });
});
