/** The configuration in force: the last one that was good. */
import { EventEmitter } from "node:events";
import type { Configuration } from "../../api/configuration.ts";
import { CONFIG_KEY, CONFIG_MAP } from "../../api/configuration.ts";
import { OperatorError } from "../errors.ts";
import { parseConfiguration, versionOf } from "./parse.ts";

export interface InForce {
  readonly configuration: Configuration;
  /** Of the configuration, see `versionOf`. */
  readonly version: string;
  /** Why what is wanted now is not what is in force: a sentence. */
  readonly refused?: string;
}

/** What a ConfigMap holds; undefined where there is none. */
export type ConfigMapData = Readonly<Record<string, string>> | undefined;

/**
 * What is in force once `wanted` has been read.
 * @param last what was in force before
 * @throws OperatorError InvalidConfiguration when nothing good is known
 */
export function nextInForce(wanted: ConfigMapData, last: InForce | undefined): InForce {
  try {
    const configuration = parseConfiguration(textOf(wanted));
    return { configuration, version: versionOf(configuration) };
  } catch (error) {
    if (!(error instanceof OperatorError) || last === undefined) throw error;
    return { configuration: last.configuration, version: last.version, refused: error.message };
  }
}

/** What an earlier operator left as in force; undefined where it left nothing that is understood. */
export function leftInForce(left: ConfigMapData): InForce | undefined {
  try {
    return nextInForce(left, undefined);
  } catch {
    return undefined;
  }
}

function textOf(data: ConfigMapData): string {
  const text = data?.[CONFIG_KEY];
  if (text !== undefined) return text;
  const what = data === undefined ? `there is no ConfigMap ${CONFIG_MAP}` : `${CONFIG_KEY} is missing in it`;
  throw new OperatorError("InvalidConfiguration", `the configuration is refused: ${what}`);
}

interface LiveConfigurationEvents {
  /** Something of it is other than before. */
  change: [now: InForce, before: InForce];
}

export class LiveConfiguration extends EventEmitter<LiveConfigurationEvents> {
  #inForce: InForce;

  constructor(inForce: InForce) {
    super();
    this.#inForce = inForce;
  }

  get current(): Configuration {
    return this.#inForce.configuration;
  }

  get inForce(): InForce {
    return this.#inForce;
  }

  /** The ConfigMap reads so now. */
  take(wanted: ConfigMapData): void {
    const before = this.#inForce;
    const now = nextInForce(wanted, before);
    if (now.version === before.version && now.refused === before.refused) return;
    this.#inForce = now;
    this.emit("change", now, before);
  }
}
