import { after, before, describe } from "node:test";
import { lifetimes } from "./contract/lifetimes.ts";
import { lists } from "./contract/lists.ts";
import { type ContractServer, Session } from "./contract/session.ts";
import { watches } from "./contract/watches.ts";
import { writes } from "./contract/writes.ts";

/** What the machinery relies on. Holds for the fake and for a real API server, or the fake is wrong. */
export function describeContract(
  name: string,
  open: () => Promise<ContractServer>,
  skip: string | false = false,
): void {
  describe(`${name} keeps the contract`, { skip }, () => {
    const session = new Session();
    before(async () => {
      session.server = await open();
    });
    after(async () => {
      await session.server?.close();
    });
    describe("of writes", () => writes(session));
    describe("of lists", () => lists(session));
    describe("of watches", () => watches(session));
    describe("of lifetimes", () => lifetimes(session));
  });
}
