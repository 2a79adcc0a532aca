/**
 * The guest agent as the launcher knows it: asked at intervals while the guest runs and its agent is connected, told
 * of when something changed. Nothing that a guest's agent does or omits reaches further than this folder.
 */
import type { AccessCredentialsStatus, GuestAgentInfo, GuestAgentStatus } from "../../api/guest-agent.ts";
import type { LaunchAccessCredential } from "../../api/launch-spec.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import type { Log } from "../log.ts";
import { AccessCredentials } from "./access-credentials.ts";
import { AgentChannel, notConnected } from "./channel.ts";
import * as commands from "./commands.ts";
import type { AgentConnection } from "./connection.ts";
import { GuestAgentError, type GuestAgentErrorCode } from "./errors.ts";
import { type AgentFacts, agentInfo, agentStatus, canDo, NO_FACTS } from "./facts.ts";
import { Freezer } from "./freezer.ts";
import {
  dueAt,
  duePolls,
  firstPlan,
  nextPollAtMs,
  type PollName,
  type PollPlan,
  polled,
  refused,
  unanswered,
} from "./polls.ts";
import { answerProbe, type ProbeAnswer, type ProbeRequest } from "./probe.ts";
import { answering } from "./requests.ts";
import { Throttle } from "./throttle.ts";

/** From the lease to the address on the guest's interface, in ms; asked earlier, the guest would seem to have none. */
const CONFIGURING_MS = 2_000;

/** What a poll's end means for the next. */
type Outcome = (plan: PollPlan, name: PollName, nowMs: number) => PollPlan;

const OUTCOMES: Readonly<Partial<Record<GuestAgentErrorCode, Outcome>>> = {
  GuestAgentRefused: refused,
  GuestAgentAnswerMalformed: refused,
};

export interface GuestAgentOptions {
  readonly connect: () => Promise<AgentConnection>;
  /** Of the VMI's interfaces, lower case; known once the network is attached. */
  readonly macAddresses: () => ReadonlySet<string>;
  readonly accessCredentials: readonly LaunchAccessCredential[];
  readonly clock: Clock;
  readonly log: Log;
  /** `status` has changed. */
  readonly onChange: () => void;
}

/** What a launcher's status tells of it. */
export interface AgentTold {
  /** undefined while no agent is connected. */
  readonly guestAgent?: GuestAgentStatus;
  readonly accessCredentials?: AccessCredentialsStatus;
}

/** One agent, from its connect to its disconnect. */
interface Session {
  facts: AgentFacts;
  plan: PollPlan;
  isPolling: boolean;
  /** The first round is over: what is told then is told at once. */
  isKnown: boolean;
}

export class GuestAgent {
  readonly #options: GuestAgentOptions;
  readonly #channel: AgentChannel;
  readonly #freezer: Freezer;
  readonly #credentials: AccessCredentials;
  readonly #required: readonly string[];
  readonly #told: Throttle<AgentTold>;
  #isStarted = false;
  #isGuestRunning = false;
  /** Freezes under way: the guest may be frozen long before its agent has said so. */
  #freezing = 0;
  #session: Session | undefined;
  #timer: Timer | undefined;

  constructor(options: GuestAgentOptions) {
    this.#options = options;
    const { accessCredentials, clock, connect, log, onChange } = options;
    this.#channel = new AgentChannel({ connect, clock, log, onChange: (isOpen) => this.#opened(isOpen) });
    this.#required = commands.requiredCommands(accessCredentials);
    this.#credentials = new AccessCredentials({
      credentials: accessCredentials,
      channel: this.#channel,
      clock,
      log,
      onChange: () => this.#tell(),
    });
    this.#told = new Throttle<AgentTold>(this.#current(), clock, onChange);
    this.#freezer = new Freezer({
      channel: this.#channel,
      clock,
      log,
      onFrozen: (frozen) => this.#learn(this.#session, { frozen }),
    });
  }

  get status(): AgentTold {
    return this.#told.value;
  }

  /** The agent is asked nothing while its guest doesn't run: it couldn't answer. */
  guestRuns(isRunning: boolean): void {
    if (this.#isGuestRunning === isRunning) return;
    this.#isGuestRunning = isRunning;
    if (isRunning && !this.#isStarted) {
      this.#isStarted = true;
      void this.#channel.run();
    }
    this.#schedule();
  }

  /** The guest has been given an address, which it is about to configure. */
  networkChanged(): void {
    const session = this.#session;
    if (session === undefined) return;
    session.plan = dueAt(session.plan, "system", this.#options.clock.monotonic() + CONFIGURING_MS);
    this.#schedule();
  }

  /** @throws RequestError 409 GuestAgentNotConnected */
  info(): GuestAgentInfo {
    if (this.#session === undefined) throw answering(notConnected());
    return agentInfo(this.#session.facts);
  }

  /**
   * @param unfreezeTimeoutSeconds the guest may write again after so long; 0: not by itself
   * @throws RequestError
   */
  async freeze(unfreezeTimeoutSeconds: number): Promise<void> {
    this.#requireRunning();
    this.#freezing += 1;
    try {
      await this.#freezer.freeze(unfreezeTimeoutSeconds * 1000).catch(rethrow);
    } finally {
      this.#freezing -= 1;
    }
  }

  /** @throws RequestError */
  async unfreeze(): Promise<void> {
    this.#requireRunning();
    await this.#freezer.unfreeze().catch(rethrow);
  }

  /** Never rejects. */
  probe(request: ProbeRequest): Promise<ProbeAnswer> {
    return answerProbe(request, {
      channel: this.#channel,
      clock: this.#options.clock,
      stillness: () => {
        if (!this.#isGuestRunning) return "not running";
        return this.#freezing > 0 || this.#session?.facts.frozen ? "frozen" : undefined;
      },
    });
  }

  close(): void {
    this.#timer?.cancel();
    this.#freezer.close();
    this.#credentials.close();
    this.#told.close();
    this.#channel.close();
  }

  #requireRunning(): void {
    if (this.#isGuestRunning) return;
    throw answering(
      new GuestAgentError(
        "GuestAgentNotConnected",
        "the guest doesn't run: its agent can't be asked for anything",
      ),
    );
  }

  #opened(isOpen: boolean): void {
    const { clock } = this.#options;
    this.#session = isOpen
      ? { facts: NO_FACTS, plan: firstPlan(clock.monotonic()), isPolling: false, isKnown: false }
      : undefined;
    if (!isOpen) this.#tell();
    this.#schedule();
    this.#credentials.agentConnected(isOpen);
  }

  #schedule(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const session = this.#session;
    if (session === undefined || session.isPolling || !this.#isGuestRunning) return;
    const { clock } = this.#options;
    const waitMs = nextPollAtMs(session.plan, session.facts.frozen) - clock.monotonic();
    this.#timer = clock.setTimeout(() => void this.#round(session), waitMs);
  }

  /** Asks what is due, one after another. */
  async #round(session: Session): Promise<void> {
    const { clock } = this.#options;
    session.isPolling = true;
    for (const name of duePolls(session.plan, clock.monotonic(), false)) {
      if (session !== this.#session || !this.#isGuestRunning) break;
      if (session.facts.frozen && name !== "freeze") continue;
      const outcome = await this.#poll(session, name);
      session.plan = outcome(session.plan, name, clock.monotonic());
      if (outcome === unanswered) break;
    }
    session.isPolling = false;
    session.isKnown = true;
    if (session !== this.#session) return;
    this.#tell();
    this.#schedule();
  }

  async #poll(session: Session, name: PollName): Promise<Outcome> {
    switch (name) {
      case "freeze":
        return this.#ask(session, commands.FREEZE_STATUS, (frozen) => ({ frozen }));
      case "version":
        return this.#ask(session, commands.VERSION, (version) => ({ version }));
      case "users":
        return this.#ask(session, commands.USERS, (users) => ({ users }));
      case "fileSystems":
        return this.#ask(session, commands.FILE_SYSTEMS, (fileSystems) => ({ fileSystems }));
      case "system":
        return this.#askSystem(session);
    }
  }

  /** What one command is refused is no reason not to ask the others as often as ever. */
  async #askSystem(session: Session): Promise<Outcome> {
    const interfaces = commands.interfaces(this.#options.macAddresses());
    const asks = [
      () => this.#ask(session, commands.OS_INFO, (os) => ({ os })),
      () => this.#ask(session, interfaces, (found) => ({ interfaces: found })),
      () => this.#ask(session, commands.HOSTNAME, (hostname) => (hostname === undefined ? {} : { hostname })),
      () => this.#ask(session, commands.TIMEZONE, (timezone) => ({ timezone })),
    ];
    for (const ask of asks) if ((await ask()) === unanswered) return unanswered;
    return polled;
  }

  /** What the agent refuses, or answers with nonsense, stays as it was told last. */
  async #ask<T>(
    session: Session,
    command: commands.AgentCommand<T>,
    factsOf: (answer: T) => Partial<AgentFacts>,
  ): Promise<Outcome> {
    if (!canDo(session.facts, command.name)) return polled;
    try {
      const answer = await this.#channel.ask(command);
      this.#learn(session, factsOf(answer));
      return polled;
    } catch (error) {
      this.#options.log.debug({ err: error }, "the guest agent did not answer as it should");
      return OUTCOMES[(error as GuestAgentError).code] ?? unanswered;
    }
  }

  #learn(session: Session | undefined, news: Partial<AgentFacts>): void {
    if (session === undefined) return;
    session.facts = { ...session.facts, ...news };
    // A round tells what it has learnt when it is over.
    if (session.isPolling) return;
    this.#tell();
    this.#schedule();
  }

  #tell(): void {
    // The first round tells it all at once.
    if (this.#session?.isKnown !== false) this.#told.set(this.#current());
  }

  #current(): AgentTold {
    const accessCredentials = this.#credentials.status;
    return {
      ...(this.#session !== undefined && { guestAgent: agentStatus(this.#session.facts, this.#required) }),
      ...(accessCredentials !== undefined && { accessCredentials }),
    };
  }
}

function rethrow(error: unknown): never {
  throw error instanceof GuestAgentError ? answering(error) : error;
}
