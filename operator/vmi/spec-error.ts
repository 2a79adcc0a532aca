/** The spec asks for what can't be resolved; mostly the CRD's schema should have refused it. */
export class SpecError extends Error {
  override readonly name = "SpecError";
}

/** No program can be given such a text, and CEL can't look for the character. @throws SpecError */
export function withoutNul(text: string, field: string): string {
  if (text.includes("\0")) throw new SpecError(`${field} contains a NUL character; remove it`);
  return text;
}
