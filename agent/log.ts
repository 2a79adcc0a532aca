/** The agent's log, whose level changes while it runs. */
import { type DestinationStream, type Logger, pino } from "pino";

export interface AgentLog {
  readonly log: Logger;
  readonly setLevel: (level: string) => void;
}

/** From this many on, children that nobody uses any more are looked for with each new one. */
const MANY_CHILDREN = 1_000;

/**
 * A child has the level that its parent had when it was made, and keeps it: so they are remembered, as long as somebody
 * else does.
 */
export function createLog(level: string, destination?: DestinationStream): AgentLog {
  const children = new Set<WeakRef<Logger>>();
  const living = () =>
    [...children].filter((child) => child.deref() !== undefined || !children.delete(child));
  const onChild = (child: Logger) => {
    if (children.size >= MANY_CHILDREN) living();
    children.add(new WeakRef(child));
  };
  const options = { base: null, level, onChild };
  const log = destination === undefined ? pino(options) : pino(options, destination);
  return {
    log,
    setLevel: (level) => {
      log.level = level;
      for (const child of living()) {
        const logger = child.deref();
        if (logger !== undefined) logger.level = level;
      }
    },
  };
}
