import { ProtocolError } from "./errors.ts";
import { compareResourceVersions } from "./objects.ts";

/** Lists in a row older than what was seen, after which we believe that the server was restored from a backup. */
const MAX_STALE_LISTS = 5;

/** Where a watch goes on from. It moves forward only, unless the server itself has gone back in time. */
export class WatchPlace {
  readonly #name: string;
  #version: string | undefined;
  /** Highest version ever seen, to tell a list that is behind. */
  #newest = "";
  #staleLists = 0;
  #reason = "start";

  /** @param name of the resource, for errors */
  constructor(name: string) {
    this.#name = name;
  }

  /** resourceVersion to watch on from; undefined when only a list can help. */
  get version(): string | undefined {
    return this.#version;
  }

  /** Why there had to be a list last. */
  get reason(): string {
    return this.#reason;
  }

  /** To where a list ends. @throws ProtocolError when the list is behind what was seen already */
  set(resourceVersion: string): void {
    if (compareResourceVersions(resourceVersion, this.#newest) < 0 && this.#staleLists < MAX_STALE_LISTS) {
      this.#staleLists += 1;
      throw new ProtocolError(
        `list ${this.#name}: the list is of version ${resourceVersion}, but ${this.#newest} was seen already`,
      );
    }
    this.#staleLists = 0;
    this.#newest = resourceVersion;
    this.#version = resourceVersion;
  }

  /** Behind an event or a bookmark. */
  advance(resourceVersion: string): void {
    if (this.#version !== undefined && compareResourceVersions(resourceVersion, this.#version) > 0) {
      this.#version = resourceVersion;
    }
    if (compareResourceVersions(resourceVersion, this.#newest) > 0) {
      this.#newest = resourceVersion;
    }
  }

  /** Makes a list necessary. */
  forget(reason: string): void {
    this.#version = undefined;
    this.#reason = reason;
  }
}
