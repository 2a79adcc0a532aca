/** Progress for the person who waits: one line on stderr per step, with the seconds since the start. */

export type Progress = (text: string) => void;

export function startProgress(write: (line: string) => void): Progress {
  const started = performance.now();
  return (text) => write(`[${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s] ${text}\n`);
}
