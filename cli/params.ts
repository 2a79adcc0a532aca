/** virtctl's flags of several parameters: `src:IMAGE,name:root,bootorder:1`. Pure. */
import { CliError } from "./errors.ts";

/** @throws CliError for a parameter that isn't known, is given twice or has no value */
export function parseParams<Name extends string>(
  flag: string,
  text: string,
  known: readonly Name[],
): { readonly [name in Name]?: string } {
  const params: { [name in Name]?: string } = {};
  for (const part of text.split(",")) {
    const colon = part.indexOf(":");
    const name = known.find((one) => one === part.slice(0, colon).toLowerCase());
    const value = part.slice(colon + 1);
    if (colon === -1)
      throw new CliError(`--${flag} ${text}: ${part || "an empty part"} has no colon: write src:NAME`);
    if (name === undefined)
      throw new CliError(`--${flag} knows no ${part.slice(0, colon)}: there are ${known.join(", ")}`);
    if (value === "" || params[name] !== undefined)
      throw new CliError(`--${flag} ${text}: ${name} ${value === "" ? "is empty" : "is given twice"}`);
    params[name] = value;
  }
  return params;
}
