/** A guest agent for tests, as the protocol describes it, on any stream of bytes: it says what a test wants it to. */
import type { Duplex } from "node:stream";

/** `return` of a command, or an error's text. A promise that never resolves makes an agent that never answers. */
export type Answer = { readonly value: unknown } | { readonly error: string } | { readonly raw: string };
export type Answers = Record<string, (argument: unknown) => Answer | Promise<Answer>>;

interface Command {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

export class FakeGuestAgent {
  /** Names of the commands that came, synchronisation apart. */
  readonly commands: string[] = [];
  /** May be changed at any time. */
  answers: Answers;
  readonly #stream: Duplex;
  #rest = "";

  constructor(stream: Duplex, answers: Answers = HONEST_ANSWERS) {
    this.answers = answers;
    this.#stream = stream;
    stream.on("data", (chunk: Buffer) => this.#receive(chunk.toString("latin1")));
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      // libvirt sends 0xff before a synchronisation, to end whatever the agent was reading.
      const command = commandOf(line.slice(Math.max(line.indexOf("{"), 0)));
      if (command !== undefined) void this.#answer(command);
    }
  }

  async #answer({ execute, arguments: argument }: Command): Promise<void> {
    if (execute === "guest-sync-delimited" || execute === "guest-sync") {
      const delimiter = execute === "guest-sync" ? "" : "\xff";
      this.#write(`${delimiter}${JSON.stringify({ return: argument?.["id"] })}\n`);
      return;
    }
    this.commands.push(execute);
    const answer = await (this.answers[execute] ?? unknownCommand)(argument);
    if ("raw" in answer) this.#write(answer.raw);
    else if ("error" in answer)
      this.#write(`${JSON.stringify({ error: { class: "GenericError", desc: answer.error } })}\n`);
    else this.#write(`${JSON.stringify({ return: answer.value })}\n`);
  }

  #write(text: string): void {
    this.#stream.write(Buffer.from(text, "latin1"));
  }
}

/** undefined for a line that is none: the stream may begin with other words. */
function commandOf(line: string): Command | undefined {
  try {
    return JSON.parse(line) as Command;
  } catch {
    return undefined;
  }
}

function unknownCommand(): Answer {
  return { error: "the command has not been found" };
}

const constant = (value: unknown) => () => ({ value });

/** A Debian guest with one network card, and a bridge of its own. */
export const HONEST_ANSWERS: Answers = {
  "guest-info": () => ({
    value: {
      version: "10.0.2",
      supported_commands: Object.keys(HONEST_ANSWERS).map((name) => ({ name, enabled: true })),
    },
  }),
  "guest-get-osinfo": constant({
    name: "Debian GNU/Linux",
    "kernel-release": "6.12.0-amd64",
    version: "13 (trixie)",
    "pretty-name": "Debian GNU/Linux 13 (trixie)",
    "version-id": "13",
    "kernel-version": "#1 SMP Debian 6.12.0-1",
    machine: "x86_64",
    id: "debian",
  }),
  "guest-get-host-name": constant({ "host-name": "guest" }),
  "guest-get-timezone": constant({ zone: "CET", offset: 3600 }),
  "guest-network-get-interfaces": constant([
    { name: "lo", "ip-addresses": [{ "ip-address-type": "ipv4", "ip-address": "127.0.0.1", prefix: 8 }] },
    {
      name: "enp1s0",
      "hardware-address": "02:00:00:00:00:01",
      "ip-addresses": [{ "ip-address-type": "ipv4", "ip-address": "10.244.0.7", prefix: 32 }],
    },
    { name: "docker0", "hardware-address": "02:42:00:00:00:01", "ip-addresses": [] },
  ]),
  "guest-get-users": constant([{ user: "debian", "login-time": 1_700_000_000.5 }]),
  "guest-get-fsinfo": constant([
    {
      name: "vda1",
      mountpoint: "/",
      type: "ext4",
      "used-bytes": 1_000,
      "total-bytes": 4_000,
      disk: [{ serial: "root", "bus-type": "virtio", bus: 0, unit: 0, target: 0 }],
    },
  ]),
  "guest-fsfreeze-status": constant("thawed"),
  "guest-set-user-password": constant({}),
  "guest-ssh-add-authorized-keys": constant({}),
};
