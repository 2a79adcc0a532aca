/** What a VMI's guest agent knows and does, in KubeVirt's shapes. */
import type { GuestAgentInfo, GuestFileSystem, GuestUser } from "../../api/guest-agent.ts";
import { FREEZE_DEADLINE_MS, type FreezeRequest, LAUNCHER_ROUTES } from "../../api/launcher-protocol.ts";
import { parseDurationMs } from "../../lib/duration.ts";
import type { Caches } from "../caches.ts";
import type { Agents } from "../uplink/agents.ts";
import { parseGuestAgentInfo } from "../uplink/guest-agent.ts";
import type { SubresourceHandler, SubresourceHandlers } from "./handler.ts";
import { askLauncher, launcherPath } from "./launcher.ts";
import { StatusError } from "./status.ts";

/** What `guestosinfo` shows of users and file systems; the lists of their own show all. KubeVirt's number. */
const MAX_SHOWN = 10;
/** The agent on the node gives up first, and says why. */
const DEADLINE_MS = FREEZE_DEADLINE_MS + 5_000;

export function guestAgentHandlers(caches: Caches, agents: Agents): SubresourceHandlers {
  const get = (shape: (info: GuestAgentInfo) => unknown): SubresourceHandler => ({
    method: "GET",
    answer: async (path) => {
      const answer = await askLauncher(caches, agents, path, (client, route) =>
        client.request("GET", launcherPath(route, LAUNCHER_ROUTES.guestAgent)),
      );
      return shape(parseGuestAgentInfo(answer));
    },
  });
  const put = (verb: string, bodyOf: (body: unknown) => object): SubresourceHandler => ({
    method: "PUT",
    answer: async (path, body) => {
      const request = bodyOf(body);
      await askLauncher(
        caches,
        agents,
        path,
        (client, route) =>
          client.request("POST", launcherPath(route, verb), { body: request, deadlineMs: DEADLINE_MS }),
        { needsGuest: true },
      );
    },
  });
  return {
    "virtualmachineinstances/guestosinfo": get(guestOsInfo),
    "virtualmachineinstances/userlist": get(({ users }) => ({ metadata: {}, items: users.map(user) })),
    "virtualmachineinstances/filesystemlist": get(({ fileSystems }) => ({
      metadata: {},
      items: fileSystems.map(fileSystem),
    })),
    "virtualmachineinstances/freeze": put(LAUNCHER_ROUTES.freeze, freezeRequest),
    "virtualmachineinstances/unfreeze": put(LAUNCHER_ROUTES.unfreeze, () => ({})),
  };
}

/**
 * KubeVirt's FreezeUnfreezeTimeout; 0 never lets the guest write again by itself.
 * @throws StatusError BadRequest
 */
export function freezeRequest(body: unknown): FreezeRequest {
  const timeout = (body as { unfreezeTimeout?: unknown } | null | undefined)?.unfreezeTimeout;
  const milliseconds = typeof timeout === "string" ? parseDurationMs(timeout) : undefined;
  if (milliseconds === undefined) {
    throw new StatusError(
      "BadRequest",
      'unfreezeTimeout in the freeze request must be a duration such as "5m0s"; "0s" never unfreezes',
    );
  }
  // What is short must not become never.
  return { unfreezeTimeoutSeconds: Math.ceil(milliseconds / 1000) };
}

/** KubeVirt's VirtualMachineInstanceGuestAgentInfo. */
function guestOsInfo(info: GuestAgentInfo): object {
  const { agentVersion, fileSystems, frozen, hostname, os, supportedCommands, timezone, users } = info;
  return {
    ...(agentVersion !== undefined && { guestAgentVersion: agentVersion }),
    ...(supportedCommands.length > 0 && {
      supportedCommands: supportedCommands.map(({ name, enabled }) =>
        enabled ? { name, enabled } : { name },
      ),
    }),
    ...(hostname !== undefined && { hostname }),
    os: os ?? {},
    ...(timezone !== undefined && { timezone: `${timezone.zone ?? ""}, ${timezone.offset}` }),
    ...(users.length > 0 && { userList: users.slice(0, MAX_SHOWN).map(user) }),
    fsInfo: { disks: fileSystems.slice(0, MAX_SHOWN).map(fileSystem) },
    fsFreezeStatus: frozen ? "frozen" : "thawed",
  };
}

function user({ userName, domain, loginTime }: GuestUser): object {
  return { userName, ...(domain !== undefined && { domain }), ...(loginTime !== 0 && { loginTime }) };
}

function fileSystem({ disks, ...rest }: GuestFileSystem): object {
  return { ...rest, ...(disks.length > 0 && { disk: disks }) };
}
