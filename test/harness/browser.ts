/** Headless Chromium, told what to do over its DevTools protocol. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";

const START_TIMEOUT_MS = 60_000;
const ANSWER_TIMEOUT_MS = 60_000;

interface Message {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

interface Waiter {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A browser with one page. */
export class Browser {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, Waiter>();
  #session = "";
  #last = 0;

  private constructor(child: ChildProcess, profile: string, socket: WebSocket) {
    this.#child = child;
    this.#profile = profile;
    this.#socket = socket;
    socket.on("message", (data: Buffer) => this.#take(JSON.parse(data.toString("utf8")) as Message));
  }

  static async open(width: number, height: number): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), "virtpod-browser-"));
    const child = spawn(
      "chromium-headless-shell",
      [
        // Tests run as root, where its own sandbox can't be made, and open no page but their own.
        ...["--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", `--user-data-dir=${profile}`],
        ...["--disable-background-networking", "--disable-component-update", "--no-first-run"],
        ...["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"],
        ...[`--window-size=${width},${height}`, "about:blank"],
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    const socket = new WebSocket(await addressOf(child), { perMessageDeflate: false });
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    const browser = new Browser(child, profile, socket);
    const { targetId } = (await browser.#ask("Target.createTarget", {
      url: "about:blank",
      width,
      height,
    })) as {
      readonly targetId: string;
    };
    const { sessionId } = (await browser.#ask("Target.attachToTarget", { targetId, flatten: true })) as {
      readonly sessionId: string;
    };
    browser.#session = sessionId;
    return browser;
  }

  async go(url: string): Promise<void> {
    const { errorText } = (await this.#ask("Page.navigate", { url })) as { readonly errorText?: string };
    if (errorText !== undefined) throw new Error(`the browser can't open the page: ${errorText}`);
  }

  /** The value of an expression in the page, awaited there. @throws Error with the page's own */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = (await this.#ask("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })) as {
      readonly result: { readonly value?: T };
      readonly exceptionDetails?: {
        readonly text: string;
        readonly exception?: { readonly description?: string };
      };
    };
    if (exceptionDetails !== undefined)
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value as T;
  }

  /** Resolves once an expression is true in the page, which is looked at whenever it draws. */
  async until(expression: string, timeoutMs = 30_000): Promise<void> {
    await this.evaluate(`new Promise((resolve, reject) => {
      const deadline = performance.now() + ${timeoutMs};
      const look = () => {
        if (document.body !== null && (${expression})) resolve();
        else if (performance.now() > deadline) reject(new Error("never true: " + ${JSON.stringify(expression)} +
          "; the page says: " + document.body.innerText));
        else requestAnimationFrame(look);
      };
      look();
    })`);
  }

  /** A PNG. */
  async screenshot(): Promise<Buffer> {
    const { data } = (await this.#ask("Page.captureScreenshot", { format: "png" })) as {
      readonly data: string;
    };
    return Buffer.from(data, "base64");
  }

  /** Presses and releases a key by its place and what it writes. */
  async press(code: string, key: string): Promise<void> {
    for (const type of ["rawKeyDown", "keyUp"])
      await this.#ask("Input.dispatchKeyEvent", { type, code, key });
  }

  async click(x: number, y: number): Promise<void> {
    for (const type of ["mousePressed", "mouseReleased"])
      await this.#ask("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
  }

  async close(): Promise<void> {
    // Not "close": processes of the browser's own may hold its standard error a little longer.
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#session = "";
    await this.#ask("Browser.close", {}).catch(() => this.#child.kill("SIGKILL"));
    await ended;
    this.#socket.terminate();
    this.#child.stderr?.destroy();
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #ask(method: string, params: object): Promise<unknown> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`the browser doesn't answer ${method}`)),
        ANSWER_TIMEOUT_MS,
      );
      const settle =
        <V>(end: (value: V) => void) =>
        (value: V) => {
          clearTimeout(late);
          this.#waiting.delete(id);
          end(value);
        };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      this.#socket.send(
        JSON.stringify({ id, method, params, ...(this.#session !== "" && { sessionId: this.#session }) }),
      );
    });
  }

  #take({ id, result, error }: Message): void {
    const waiter = this.#waiting.get(id ?? 0);
    if (error === undefined) waiter?.resolve(result);
    else waiter?.reject(new Error(error.message));
  }
}

/** As the browser tells it when it is up. */
function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("the browser doesn't start")), START_TIMEOUT_MS);
    child.once("error", reject);
    child.once("close", (code) => reject(new Error(`the browser ended with status ${code}`)));
    if (child.stderr === null) return;
    const lines = createInterface({ input: child.stderr });
    lines.on("line", (line) => {
      const [, address] = /DevTools listening on (ws:\S+)/.exec(line) ?? [];
      if (address === undefined) return;
      clearTimeout(late);
      resolve(address);
    });
  });
}
