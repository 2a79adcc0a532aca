const INTERRUPTS = ["SIGINT", "SIGTERM"] as const;

/** Clears up once: when it is disposed of, or at an interrupt, which ends the process with status 1 afterwards. */
export function clearing(clear: () => Promise<unknown>): AsyncDisposable {
  let cleared: Promise<unknown> | undefined;
  const clearOnce = async () => {
    cleared ??= clear();
    await cleared;
  };
  const interrupted = () => void clearOnce().finally(() => process.exit(1));
  for (const signal of INTERRUPTS) process.once(signal, interrupted);
  return {
    [Symbol.asyncDispose]: async () => {
      await clearOnce();
      for (const signal of INTERRUPTS) process.off(signal, interrupted);
    },
  };
}
