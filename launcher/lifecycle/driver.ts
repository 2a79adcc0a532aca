/**
 * Owns the machine's state: everything that happens goes through `dispatch`, one event at a time, and its effects are
 * performed here. An effect's outcome comes back as another event, so nothing waits for anything else.
 */
import type { DomainEnd } from "../../api/launcher-protocol.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import { RequestError } from "../../transport/errors.ts";
import { describeError } from "../errors.ts";
import type { Log } from "../log.ts";
import { admit, type Verb } from "./admission.ts";
import type { Effect, MachineEvent, MachineState, RoomFinding, TimerName } from "./events.ts";
import { initialState, reduce } from "./machine.ts";

/** The domain as the driver commands it. Rejections carry a `code`; what happened is told by libvirt's events. */
export interface DomainPort {
  /** Code `LibvirtUnavailable` says that the outcome is unknown: the state read after the reconnect tells. */
  create(): Promise<void>;
  acpiShutdown(): Promise<void>;
  destroy(): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  reset(): Promise<void>;
  softReboot(): Promise<void>;
  /** Never rejects. */
  lookForRoom(disk: string | undefined): Promise<RoomFinding>;
}

/** An event without its time: the driver's clock gives it. */
export type Happening = MachineEvent extends infer Event
  ? Event extends unknown
    ? Omit<Event, "atMs">
    : never
  : never;

export interface DriverOptions {
  readonly startPaused: boolean;
  readonly domain: DomainPort;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of every new state. */
  readonly onChange: (state: MachineState) => void;
}

export class Driver {
  /** Resolves when the domain's life is over. */
  readonly ended: Promise<DomainEnd>;
  readonly #options: DriverOptions;
  readonly #timers = new Map<TimerName, Timer>();
  readonly #resolveEnded: (end: DomainEnd) => void;
  readonly #queue: MachineEvent[] = [];
  #isReducing = false;
  #state: MachineState;

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#state = initialState(options);
    const { promise, resolve } = Promise.withResolvers<DomainEnd>();
    this.ended = promise;
    this.#resolveEnded = resolve;
  }

  get state(): MachineState {
    return this.#state;
  }

  dispatch(happening: Happening): void {
    this.#queue.push({ ...happening, atMs: this.#options.clock.monotonic() } as MachineEvent);
    // An effect that fails at once dispatches while its own event is still being worked on.
    if (this.#isReducing) return;
    this.#isReducing = true;
    try {
      for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift())
        this.#step(event);
    } finally {
      this.#isReducing = false;
    }
  }

  /**
   * A request for the running domain. Resolves once libvirt has done it, or at once where it is done already.
   * @throws RequestError 409 the state doesn't allow it, 503 libvirtd is away, 500 libvirt refused
   */
  async request(verb: Verb): Promise<void> {
    const admission = admit(this.#state, verb);
    if (admission.decision === "done") return;
    const { paused } = this.#state;
    if (admission.decision === "refuse") throw new RequestError(409, admission.code, admission.message);
    const { domain } = this.#options;
    const calls = {
      pause: () => domain.pause(),
      unpause: () => domain.resume(),
      reset: () => domain.reset(),
      "soft-reboot": () => domain.softReboot(),
    };
    try {
      await calls[verb]();
    } catch (cause) {
      const { code, message } = describeError(cause);
      const status = code === "LibvirtUnavailable" ? 503 : 500;
      throw new RequestError(status, code, `${verb}: ${message}`, { cause });
    }
    // libvirt says nothing of a pause of what a failing disk had paused before; it is to last all the same.
    if (verb === "pause" && paused !== undefined) {
      this.dispatch({ type: "domain", fact: { kind: "paused", reason: "user" } });
    }
  }

  #step(event: MachineEvent): void {
    const { state, effects } = reduce(this.#state, event);
    const hasChanged = state !== this.#state;
    this.#state = state;
    if (hasChanged) this.#options.onChange(state);
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: Effect): void {
    const { domain } = this.#options;
    switch (effect.type) {
      case "create":
        domain.create().then(
          () => this.dispatch({ type: "created" }),
          (error: unknown) => this.#createFailed(error),
        );
        return;
      case "acpiShutdown":
        this.#call("ask the guest to power off", domain.acpiShutdown());
        return;
      case "resume":
        this.#call("resume the domain", domain.resume());
        return;
      case "destroy":
        this.#call("destroy the domain", domain.destroy());
        return;
      case "lookForRoom":
        void domain.lookForRoom(effect.disk).then((finding) => this.dispatch({ type: "room", finding }));
        return;
      case "arm":
        this.#arm(effect.timer, effect.delayMs);
        return;
      case "disarm":
        this.#timers.get(effect.timer)?.cancel();
        this.#timers.delete(effect.timer);
        return;
      case "finish":
        this.#resolveEnded(effect.end);
        return;
    }
  }

  #createFailed(error: unknown): void {
    const { code, message } = describeError(error);
    if (code === "LibvirtUnavailable") return;
    this.dispatch({ type: "createFailed", code, message });
  }

  /** Failure is told but decides nothing: resends, deadlines and the state read after a reconnect do. */
  #call(what: string, outcome: Promise<void>): void {
    outcome.catch((error: unknown) => this.#options.log.warn({ err: error }, `cannot ${what}`));
  }

  #arm(timer: TimerName, delayMs: number): void {
    this.#timers.get(timer)?.cancel();
    const handle = this.#options.clock.setTimeout(() => {
      this.#timers.delete(timer);
      this.dispatch({ type: "timer", name: timer });
    }, delayMs);
    this.#timers.set(timer, handle);
  }
}
