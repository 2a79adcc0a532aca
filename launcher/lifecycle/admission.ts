/** Which requests a domain takes in which state: decided here, without asking libvirt. */
import type { MachineState } from "./events.ts";

export type Verb = "pause" | "unpause" | "reset" | "soft-reboot";

export type Admission =
  | { readonly decision: "perform" }
  /** What is asked for is so already. */
  | { readonly decision: "done" }
  | { readonly decision: "refuse"; readonly code: string; readonly message: string };

export function admit(state: MachineState, verb: Verb): Admission {
  switch (state.phase) {
    case "preparing":
    case "starting":
      return refuse("DomainNotStarted", `the domain is not started yet: ${verb} is possible once it runs`);
    case "stopping":
      return refuse("DomainStopping", `the domain is stopping: it takes no ${verb} any more`);
    case "stopped":
      return refuse("DomainStopped", `the domain has ended: it takes no ${verb} any more`);
    case "running":
      break;
  }
  const isPaused = state.paused !== undefined;
  // A pause for want of room ends by itself; one that was asked for must not.
  if (verb === "pause" && state.paused?.reason === "ioError") return { decision: "perform" };
  if ((verb === "pause" && isPaused) || (verb === "unpause" && !isPaused)) return { decision: "done" };
  if (verb === "soft-reboot" && isPaused) {
    return refuse(
      "DomainPaused",
      "the domain is paused: unpause it before a soft reboot, which its guest performs",
    );
  }
  return { decision: "perform" };
}

function refuse(code: string, message: string): Admission {
  return { decision: "refuse", code, message };
}
