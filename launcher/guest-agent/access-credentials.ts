/** Gives the guest its keys and passwords when its agent connects, and again when a Secret changes. */
import { isDeepStrictEqual } from "node:util";
import type { AccessCredentialsStatus } from "../../api/guest-agent.ts";
import type { LaunchAccessCredential } from "../../api/launch-spec.ts";
import { Backoff } from "../../lib/backoff.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import { describeError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { AgentChannel } from "./channel.ts";
import { setAuthorizedKeys, setPassword } from "./commands.ts";
import { agentCredentials, type CredentialPlan, planCredentials } from "./credentials.ts";
import { readSecret, watchSecret } from "./secrets.ts";

/** A user may be made long after the agent has started: by cloud-init, or by hand. */
const RETRY = { initialMs: 5_000, maxMs: 300_000 };
/** An agent's words may be long; the first say what is wrong. */
const MAX_MESSAGE_CHARACTERS = 512;

export interface AccessCredentialsOptions {
  readonly credentials: readonly LaunchAccessCredential[];
  readonly channel: Pick<AgentChannel, "ask">;
  readonly clock: Clock;
  readonly log: Log;
  /** `status` has changed. */
  readonly onChange: () => void;
}

export class AccessCredentials {
  readonly #options: AccessCredentialsOptions;
  readonly #credentials: readonly LaunchAccessCredential[];
  readonly #backoff: Backoff;
  #unwatch: (() => void)[] | undefined;
  #status: AccessCredentialsStatus | undefined;
  #isConnected = false;
  /** Counts connects: what one agent was given says nothing of the next. */
  #connects = 0;
  #isApplying = false;
  /** Something may have changed since the last application began. */
  #isStale = false;
  /** What this connection's guest has. */
  #applied: CredentialPlan | undefined;
  #retry: Timer | undefined;

  constructor(options: AccessCredentialsOptions) {
    this.#options = options;
    this.#credentials = agentCredentials(options.credentials);
    this.#backoff = new Backoff({ ...RETRY, clock: options.clock });
    if (this.#credentials.length > 0) {
      this.#status = { synchronized: false, message: "the guest agent is not connected" };
    }
  }

  /** undefined where the spec has none for the guest agent. */
  get status(): AccessCredentialsStatus | undefined {
    return this.#status;
  }

  /** What was set stands when the agent leaves; one that comes may be that of another system. */
  agentConnected(isConnected: boolean): void {
    if (this.#credentials.length === 0) return;
    this.#isConnected = isConnected;
    this.#retry?.cancel();
    if (!isConnected) return;
    this.#connects += 1;
    this.#applied = undefined;
    this.#backoff.reset();
    this.#watch();
    this.#changed();
  }

  close(): void {
    this.#isConnected = false;
    this.#retry?.cancel();
    for (const unwatch of this.#unwatch ?? []) unwatch();
  }

  #watch(): void {
    this.#unwatch ??= this.#credentials.map(({ directory }) =>
      watchSecret(
        directory,
        () => this.#changed(),
        (error) =>
          this.#options.log.warn(
            { err: error, directory },
            "cannot watch a Secret: its changes reach the guest when its agent connects again",
          ),
      ),
    );
  }

  #changed(): void {
    this.#isStale = true;
    if (!this.#isApplying) void this.#applyAll();
  }

  async #applyAll(): Promise<void> {
    this.#isApplying = true;
    this.#retry?.cancel();
    while (this.#isStale && this.#isConnected) {
      this.#isStale = false;
      const message = await this.#apply();
      this.#tell({ synchronized: message === "", message });
      if (message !== "") this.#retryLater();
    }
    this.#isApplying = false;
  }

  #retryLater(): void {
    if (!this.#isConnected) return;
    this.#retry?.cancel();
    this.#retry = this.#options.clock.setTimeout(() => this.#changed(), this.#backoff.next());
  }

  /** Everything that can be set is set; what couldn't be is told. */
  async #apply(): Promise<string> {
    const connects = this.#connects;
    let plan: CredentialPlan;
    try {
      const secrets = await Promise.all(this.#credentials.map(({ directory }) => readSecret(directory)));
      plan = planCredentials(this.#credentials, secrets);
    } catch (error) {
      return cut(`the Secrets can't be read: ${describeError(error).message}`);
    }
    if (isDeepStrictEqual(plan, this.#applied)) return "";
    // Where it fails halfway, the guest has neither the old ones nor the new.
    this.#applied = undefined;
    const { channel, log } = this.#options;
    const failures: string[] = [];
    const attempt = async (what: string, done: Promise<void>) => {
      await done.catch((error: unknown) => {
        log.warn({ err: error }, `cannot set ${what}`);
        failures.push(`${what} can't be set: ${describeError(error).message}`);
      });
    };
    for (const [user, keys] of Object.entries(plan.keys)) {
      await attempt(`the SSH keys of user ${user}`, channel.ask(setAuthorizedKeys(user, keys)));
    }
    for (const [user, password] of Object.entries(plan.passwords)) {
      await attempt(`the password of user ${user}`, channel.ask(setPassword(user, password)));
    }
    if (failures.length > 0) return cut(failures.join("; "));
    if (connects === this.#connects) this.#applied = plan;
    this.#backoff.reset();
    return "";
  }

  #tell(status: AccessCredentialsStatus): void {
    // An agent that has left while it was asked didn't fail: the one that comes is asked again.
    if (!this.#isConnected || isDeepStrictEqual(status, this.#status)) return;
    this.#status = status;
    this.#options.onChange();
  }
}

function cut(message: string): string {
  return message.length <= MAX_MESSAGE_CHARACTERS
    ? message
    : `${message.slice(0, MAX_MESSAGE_CHARACTERS - 1)}…`;
}
