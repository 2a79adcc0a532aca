import assert from "node:assert/strict";
import type { Client } from "../../client.ts";
import type { KubeObject, ResourceDescriptor } from "../../objects.ts";
import type { WatchEvent } from "../../request.ts";
import type { ResourceClient } from "../../resource-client.ts";
import { CONFIG_MAPS, type ConfigMap } from "../../resources.ts";

/** A server to hold to the contract. */
export interface ContractServer {
  readonly client: Client;
  /** A namespace of the test's own. */
  readonly namespace: string;
  /** A kind whose changes the server does not have from the first version on. */
  readonly forgotten: ResourceDescriptor<KubeObject>;
  close(): Promise<void>;
}

export const DEADLINE_MS = 20_000;
export const FINALIZER = "example.com/contract";

/** What the tests of the contract share: a server that is opened once, and things to try on it. */
export class Session {
  server: ContractServer | undefined;

  get client(): Client {
    return this.#open.client;
  }

  get namespace(): string {
    return this.#open.namespace;
  }

  readonly configMaps = (): ResourceClient<ConfigMap> =>
    this.client.resource(CONFIG_MAPS).namespace(this.namespace);

  readonly forgotten = (): ResourceClient<KubeObject> => this.client.resource(this.#open.forgotten);

  /** A config map of a name like `label`, to be found by it. */
  readonly make = (label: string, extra: Partial<ConfigMap["metadata"]> = {}): Promise<ConfigMap> =>
    this.configMaps().create({
      metadata: { generateName: `${label}-`, labels: { label }, ...extra },
      data: { n: "1" },
    });

  get #open(): ContractServer {
    return this.server ?? assert.fail("the server is not open");
  }
}

/** The events of a watch up to and with the first that `isLast` accepts. */
export async function collect(
  open: (signal: AbortSignal) => AsyncIterable<WatchEvent<ConfigMap>>,
  isLast: (event: WatchEvent<ConfigMap>) => boolean,
): Promise<WatchEvent<ConfigMap>[]> {
  const events: WatchEvent<ConfigMap>[] = [];
  for await (const event of open(AbortSignal.timeout(DEADLINE_MS))) {
    events.push(event);
    if (isLast(event)) {
      return events;
    }
  }
  return assert.fail(`the watch ended after ${events.length} events`);
}
