/** Newline-delimited JSON over byte streams, with a bound on each line. */
import { StringDecoder } from "node:string_decoder";
import { TransportError } from "./errors.ts";

/** Longest line in characters: far above any status, far below what hurts. */
export const MAX_LINE_CHARACTERS = 1024 * 1024;

/**
 * Yields each line's JSON value. Empty lines are skipped (a writer may send them as a heartbeat).
 * @throws TransportError LineTooLong, MalformedJson
 */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
  maxCharacters: number = MAX_LINE_CHARACTERS,
): AsyncGenerator<unknown, void, void> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for await (const chunk of chunks) {
    rest += decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    let start = 0;
    for (let end = rest.indexOf("\n"); end !== -1; end = rest.indexOf("\n", start)) {
      const line = rest.slice(start, end);
      start = end + 1;
      if (line.length > maxCharacters) throw tooLong(maxCharacters);
      if (line.trim() !== "") yield parseJson(line);
    }
    rest = rest.slice(start);
    if (rest.length > maxCharacters) throw tooLong(maxCharacters);
  }
}

/** @throws TransportError MalformedJson */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TransportError("MalformedJson", `the peer sent ${text.length} characters that are not JSON`, {
      cause,
    });
  }
}

function tooLong(limit: number): TransportError {
  return new TransportError("LineTooLong", `the peer sent a line of more than ${limit} characters`);
}
