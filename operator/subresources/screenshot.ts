/** GET vnc/screenshot: a PNG of the guest's screen, taken over VNC beside whoever looks at it. */
import type { Caches } from "../caches.ts";
import type { Agents } from "../uplink/agents.ts";
import { Content, type SubresourceHandlers } from "./handler.ts";
import type { SubresourcePath } from "./path.ts";
import { encodePng } from "./png.ts";
import { captureScreen } from "./rfb.ts";
import { StatusError } from "./status.ts";
import { openLauncherStream } from "./streams.ts";

const DEADLINE_MS = 10_000;
/** Each holds a screen several times over, 100 MB where it is the largest that is taken. */
const MAX_AT_ONCE = 2;

export function screenshotHandlers(caches: Caches, agents: Agents): SubresourceHandlers {
  let underWay = 0;
  const answer = async (path: SubresourcePath): Promise<Content> => {
    if (underWay >= MAX_AT_ONCE) {
      throw new StatusError(
        "TooManyRequests",
        `${MAX_AT_ONCE} screenshots are being taken at this moment: try again in a second`,
      );
    }
    underWay += 1;
    try {
      return await screenshot(caches, agents, path);
    } finally {
      underWay -= 1;
    }
  };
  return { "virtualmachineinstances/vnc/screenshot": { method: "GET", answer } };
}

async function screenshot(caches: Caches, agents: Agents, path: SubresourcePath): Promise<Content> {
  const { namespace, name, query } = path;
  const stream = await openLauncherStream(caches, agents, { ...path, subresource: "vnc" });
  const deadline = setTimeout(
    () => stream.destroy(new Error(`no whole picture within ${DEADLINE_MS / 1000} s`)),
    DEADLINE_MS,
  );
  try {
    const picture = await captureScreen(stream, { moveCursor: query?.get("moveCursor") === "true" });
    return new Content("image/png", await encodePng(picture));
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new StatusError(
      "ServiceUnavailable",
      `the screen of the VMI ${namespace}/${name} can't be photographed: ${message}`,
      { cause },
    );
  } finally {
    clearTimeout(deadline);
    stream.destroy();
  }
}
