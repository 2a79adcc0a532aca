/** Bytes that come in pieces and are taken in others. Pure. */

export class ByteQueue {
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;
  #end: Error | undefined;
  #wake: (() => void) | undefined;

  push(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    this.#wake?.();
  }

  /** No more will come: whoever waits for more is thrown `reason`. */
  end(reason: Error): void {
    this.#end ??= reason;
    this.#wake?.();
  }

  /** Exactly `count` bytes, of which nobody else has hold. One call at a time. @throws Error that it ended with */
  async take(count: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#bytes < count) {
      if (this.#end !== undefined) throw this.#end;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const [piece = new Uint8Array()] = this.#pieces;
      const part = piece.subarray(0, count - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length === piece.length) this.#pieces.shift();
      else this.#pieces[0] = piece.subarray(part.length);
    }
    this.#bytes -= count;
    return taken;
  }

  async u8(): Promise<number> {
    return (await this.take(1))[0] ?? 0;
  }

  async u16(): Promise<number> {
    return new DataView((await this.take(2)).buffer).getUint16(0);
  }

  async u32(): Promise<number> {
    return new DataView((await this.take(4)).buffer).getUint32(0);
  }
}
