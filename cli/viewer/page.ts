/** The page's script: the guest's screen on a canvas, keys and pointer to the guest. Runs in a browser. */
import { Backoff } from "../../lib/backoff.ts";
import { ByteQueue } from "./bytes.ts";
import { keysymOf, scanCodeOf } from "./keyboard.ts";
import { RfbClient, type Screen } from "./rfb.ts";

/** As the local server closes a socket that is not to be opened again: it takes what the cluster said. */
const OVER_CODES: readonly number[] = [4001, 4004];

const canvas = element("screen", HTMLCanvasElement);
const told = element("told", HTMLElement);
const notice = element("notice", HTMLElement);
const context = canvas.getContext("2d", { alpha: false }) ?? fail("this browser draws no canvas");

const screen: Screen = {
  resize(width, height) {
    [canvas.width, canvas.height] = [width, height];
    fit();
  },
  put: (x, y, width, height, pixels) => context.putImageData(new ImageData(pixels, width, height), x, y),
  copy: (fromX, fromY, x, y, width, height) =>
    context.putImageData(context.getImageData(fromX, fromY, width, height), x, y),
  cursor: showCursor,
  updated() {
    if (document.body.dataset["state"] !== "connected")
      tell("connected", `${canvas.width} × ${canvas.height}`);
  },
};

let client: RfbClient | undefined;

/** Connects again and again, until the server says that there is nothing to connect to. */
async function stayConnected(): Promise<void> {
  const backoff = new Backoff({ initialMs: 500, maxMs: 10_000, resetAfterMs: 30_000 });
  for (;;) {
    const { code, reason } = await connectOnce();
    client = undefined;
    if (OVER_CODES.includes(code)) {
      tell("over", capital(reason));
      return;
    }
    tell("lost", `${capital(reason || "the connection was lost")}; connecting again`);
    await backoff.wait();
  }
}

function connectOnce(): Promise<{ readonly code: number; readonly reason: string }> {
  const socket = new WebSocket(new URL("socket", location.href.replace(/^http/, "ws")));
  socket.binaryType = "arraybuffer";
  const input = new ByteQueue();
  const rfb = new RfbClient(
    input,
    (bytes) => socket.readyState === WebSocket.OPEN && socket.send(bytes),
    screen,
  );
  client = rfb;
  let failure = "";
  rfb.run().catch((error: Error) => {
    if (error.name === "RfbError") failure = error.message;
    socket.close();
  });
  return new Promise((resolve) => {
    socket.onmessage = ({ data }) => input.push(new Uint8Array(data as ArrayBuffer));
    socket.onclose = ({ code, reason }) => {
      input.end(new Error("the socket is closed"));
      resolve({ code, reason: failure || reason });
    };
  });
}

function tell(state: "connected" | "lost" | "over", text: string): void {
  document.body.dataset["state"] = state;
  told.textContent = text;
  notice.hidden = state === "connected";
  const [line] = notice.children;
  if (line !== undefined) line.textContent = text;
}

function capital(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

function showCursor(
  hotX: number,
  hotY: number,
  width: number,
  height: number,
  pixels: Uint8ClampedArray<ArrayBuffer>,
): void {
  if (width === 0 || height === 0) {
    canvas.style.cursor = "none";
    return;
  }
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [width, height];
  picture.getContext("2d")?.putImageData(new ImageData(pixels, width, height), 0, 0);
  canvas.style.cursor = `url(${picture.toDataURL()}) ${hotX} ${hotY}, default`;
}

/** As large as the window has room for, or as it is. */
function fit(): void {
  const room = canvas.parentElement?.getBoundingClientRect();
  const isFit = document.body.dataset["fit"] === "true";
  const [width, height] = [(room?.width ?? 0) - 24, (room?.height ?? 0) - 24];
  const scale = isFit ? Math.min(width / canvas.width, height / canvas.height) : 1;
  canvas.style.width = `${Math.floor(canvas.width * scale)}px`;
  canvas.style.height = `${Math.floor(canvas.height * scale)}px`;
}

/** What is pressed now, so that nothing stays pressed in the guest when the page loses the keyboard. */
const pressed = new Map<string, number>();

function onKey(event: KeyboardEvent): void {
  event.preventDefault();
  const isDown = event.type === "keydown";
  // What was pressed is let go, whatever the key would write by now.
  const keysym = (isDown ? undefined : pressed.get(event.code)) ?? keysymOf(event.key);
  if (isDown) pressed.set(event.code, keysym);
  else pressed.delete(event.code);
  client?.key(isDown, keysym, scanCodeOf(event.code));
}

function releaseAll(): void {
  for (const [code, keysym] of pressed) client?.key(false, keysym, scanCodeOf(code));
  pressed.clear();
}

function sendRestartKeys(): void {
  const keys = [
    ["ControlLeft", "Control"],
    ["AltLeft", "Alt"],
    ["Delete", "Delete"],
  ] as const;
  for (const [code, key] of keys) client?.key(true, keysymOf(key), scanCodeOf(code));
  for (const [code, key] of keys.toReversed()) client?.key(false, keysymOf(key), scanCodeOf(code));
  canvas.focus();
}

/** RFB's bits for the DOM's: left, right, middle there; left, middle, right here. */
function buttonsOf({ buttons }: MouseEvent): number {
  return (buttons & 1) | ((buttons & 4) >> 1) | ((buttons & 2) << 1);
}

function onPointer(event: PointerEvent): void {
  if (event.type === "pointerdown") canvas.setPointerCapture(event.pointerId);
  point(event, buttonsOf(event));
}

function onWheel(event: WheelEvent): void {
  event.preventDefault();
  const held = buttonsOf(event);
  point(event, held | (event.deltaY < 0 ? 8 : 16));
  point(event, held);
}

function point({ clientX, clientY }: MouseEvent, buttons: number): void {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const [x, y] = [((clientX - left) / width) * canvas.width, ((clientY - top) / height) * canvas.height];
  client?.pointer(Math.floor(x), Math.floor(y), buttons);
}

function element<T extends HTMLElement>(id: string, kind: abstract new () => T): T {
  const found = document.getElementById(id);
  return found instanceof kind ? found : fail(`the page has no ${id}`);
}

function fail(message: string): never {
  throw new Error(message);
}

for (const type of ["keydown", "keyup"] as const) canvas.addEventListener(type, onKey);
for (const type of ["pointerdown", "pointermove", "pointerup"] as const)
  canvas.addEventListener(type, onPointer);
canvas.addEventListener("wheel", onWheel, { passive: false });
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
canvas.addEventListener("blur", releaseAll);
addEventListener("resize", fit);
element("restart-keys", HTMLButtonElement).addEventListener("click", sendRestartKeys);
element("full", HTMLButtonElement).addEventListener("click", () => {
  void document.documentElement.requestFullscreen();
  canvas.focus();
});
element("fit", HTMLButtonElement).addEventListener("click", ({ currentTarget }) => {
  const isFit = document.body.dataset["fit"] !== "true";
  document.body.dataset["fit"] = String(isFit);
  (currentTarget as HTMLElement).setAttribute("aria-pressed", String(isFit));
  fit();
  canvas.focus();
});
fit();
canvas.focus();
void stayConnected();
