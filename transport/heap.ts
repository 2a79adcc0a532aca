/**
 * Gives back what streams leave in the C library's heap. Their buffers are freed in between blocks that stay, and
 * glibc by itself gives back the end of its heap only: tens of MiB stay resident when a flood has passed.
 */
import { setTimeout as delay } from "node:timers/promises";

/** With --optimize-for-size V8 has collected the last buffers by then. */
const SETTLED_MS = 20_000;
/** V8 frees what it has collected on a thread beside. */
const SWEPT_MS = 100;

export class HeapTrimmer {
  readonly #trim: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param trim takes a few milliseconds */
  constructor(trim: () => void) {
    this.#trim = trim;
  }

  /** Trims once for all streams that end within 20 s. */
  readonly streamEnded = (): void => {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#trim();
    }, SETTLED_MS);
    this.#timer.unref();
  };
}

/**
 * malloc_trim(3), by which whole free pages anywhere in the heap go back. A program that has --expose-gc collects first.
 * @throws Error where the C library isn't glibc
 */
export async function trimHeap(): Promise<void> {
  if (globalThis.gc !== undefined) {
    globalThis.gc();
    await delay(SWEPT_MS);
  }
  // Loaded when it is needed: most programs of a day carry no stream.
  const { default: koffi } = await import("koffi");
  koffi.load(null).func("int malloc_trim(size_t)")(0);
}

/** This process's: it has one heap. */
export const { streamEnded } = new HeapTrimmer(() => {
  // Another C library may have nothing to call, and then this program is merely larger.
  trimHeap().catch(() => {});
});
