/** A real libvirtd for tests, as an unprivileged user, in a directory that goes with the test. */
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext } from "node:test";
import { EMULATOR } from "../domain/xml.ts";
import type { LibvirtConnection } from "./calls.ts";
import { type DaemonUser, LIBVIRTD, type LibvirtDaemon, startLibvirtDaemon } from "./daemon.ts";
import { connectLibvirt } from "./driver.ts";

/** Why there can be no session here; false when there can. */
export const skip: string | false =
  [LIBVIRTD, EMULATOR]
    .filter((path) => !existsSync(path))
    .map((path) => `${path} isn't installed`)
    .join(", ") || false;

/** A daemon of root's would be in system mode: nobody's then. */
export const user: DaemonUser | undefined = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined;

export class Session {
  readonly directory: string;
  daemon: LibvirtDaemon;
  readonly log: string[];
  readonly #start: () => Promise<LibvirtDaemon>;

  private constructor(
    directory: string,
    log: string[],
    start: () => Promise<LibvirtDaemon>,
    daemon: LibvirtDaemon,
  ) {
    this.directory = directory;
    this.log = log;
    this.#start = start;
    this.daemon = daemon;
  }

  /** @param capabilities folder of capability caches to start from */
  static async start(capabilities?: string): Promise<Session> {
    const directory = await temporaryDirectory();
    const log: string[] = [];
    const start = () =>
      startLibvirtDaemon({
        runtimeDirectory: directory,
        onLogLine: (line) => log.push(line),
        ...(user !== undefined && { user }),
        ...(capabilities !== undefined && { capabilities }),
      });
    return new Session(directory, log, start, await start());
  }

  /** Kills the daemon as a crash would, and starts it again. */
  async crash(): Promise<void> {
    process.kill(this.daemon.pid, "SIGKILL");
    await this.daemon.exited;
    this.daemon = await this.#start();
  }

  async close(): Promise<void> {
    await this.daemon.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export interface SuiteSession {
  readonly session: Session;
  /** For whoever needs none of its own; a test that ends it puts another in its place. */
  connection: LibvirtConnection;
}

/** Keeps one session from before a suite's first test until after its last; the tests ask what is returned for it. */
export function sessionOfSuite(): () => SuiteSession {
  let session: Session | undefined;
  let suite: SuiteSession | undefined;
  before(async () => {
    session = await Session.start();
    suite = { session, connection: await connectLibvirt(session.daemon.socketPath) };
  });
  after(async () => {
    suite?.connection.close();
    await session?.close();
  });
  return () => {
    if (suite === undefined) throw new Error("the session begins with the suite's first test");
    return suite;
  };
}

/** Readable for the daemon's user. */
export async function temporaryDirectory(t?: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "libvirt-"));
  await chmod(directory, 0o755);
  t?.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
