/**
 * Hears of writes into cgroups: the kernel tells inotify(7) of every write(2) to a cgroup's file, whoever makes it and
 * through whichever mount. Of a cgroup's end it tells nobody.
 */
import { type FSWatcher, watch } from "node:fs";

/**
 * Calls `changed` after each write to one of the files, the caller's own included.
 * @returns what ends it; undefined where the kernel has no more watches to give, or the files are gone
 */
export function watchFiles(paths: readonly string[], changed: () => void): (() => void) | undefined {
  const watchers: FSWatcher[] = [];
  const close = () => {
    for (const watcher of watchers) watcher.close();
  };
  try {
    for (const path of paths) {
      const watcher = watch(path, { persistent: false });
      watchers.push(watcher);
      watcher.on("change", changed);
      // A look finds out what is wrong.
      watcher.on("error", changed);
    }
    return close;
  } catch {
    close();
    return undefined;
  }
}
