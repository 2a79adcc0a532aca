/** PUT pause, unpause, reset and softreboot of a VMI: the launcher does them, or says why not. */
import { LAUNCHER_ROUTES } from "../../api/launcher-protocol.ts";
import type { Caches } from "../caches.ts";
import type { Agents } from "../uplink/agents.ts";
import { isDryRun } from "./dry-run.ts";
import type { SubresourceHandler, SubresourceHandlers } from "./handler.ts";
import { askLauncher, launcherOf, launcherPath } from "./launcher.ts";

export function domainVerbHandlers(caches: Caches, agents: Agents): SubresourceHandlers {
  const put = (verb: string): SubresourceHandler => ({
    method: "PUT",
    answer: async (path, body) => {
      if (isDryRun(path.subresource, body)) {
        launcherOf(caches, path);
        return;
      }
      await askLauncher(caches, agents, path, (client, route) =>
        client.request("POST", launcherPath(route, verb)),
      );
    },
  });
  return {
    "virtualmachineinstances/pause": put(LAUNCHER_ROUTES.pause),
    "virtualmachineinstances/unpause": put(LAUNCHER_ROUTES.unpause),
    "virtualmachineinstances/reset": put(LAUNCHER_ROUTES.reset),
    "virtualmachineinstances/softreboot": put(LAUNCHER_ROUTES.softReboot),
  };
}
