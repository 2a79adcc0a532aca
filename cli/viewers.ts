/** VNC viewers that this machine may have, and how each is told where the guest is. Pure. */
import { CliError } from "./errors.ts";

export type VncType = "tiger" | "real" | "tight" | "chicken" | "remote-viewer";

export interface ViewerCall {
  readonly program: string;
  readonly args: readonly string[];
}

interface KnownViewer {
  readonly type: VncType;
  readonly program: string;
}

/** In the order in which they are looked for. */
const ON_PATH: readonly KnownViewer[] = [
  { type: "remote-viewer", program: "remote-viewer" },
  { type: "tiger", program: "xtigervncviewer" },
  // TigerVNC's, RealVNC's and TightVNC's own name; Debian's TightVNC has another as well.
  { type: "tiger", program: "vncviewer" },
  { type: "tight", program: "xtightvncviewer" },
  { type: "real", program: "vncviewer" },
  { type: "tight", program: "vncviewer" },
];

const ON_DARWIN: readonly KnownViewer[] = [
  { type: "tiger", program: "/Applications/TigerVNC.app/Contents/MacOS/vncviewer" },
  { type: "tiger", program: "/Applications/TigerVNC Viewer.app/Contents/MacOS/TigerVNC Viewer" },
  { type: "chicken", program: "/Applications/Chicken.app/Contents/MacOS/Chicken" },
  { type: "real", program: "/Applications/VNC Viewer.app/Contents/MacOS/vncviewer" },
];

export const VNC_TYPES: readonly VncType[] = ["tiger", "real", "tight", "chicken", "remote-viewer"];

export interface ViewerChoice {
  readonly platform: string;
  readonly vncType?: VncType;
  readonly vncPath?: string;
  /** Where a program or file of that name is; undefined where there is none. */
  readonly find: (program: string) => string | undefined;
}

/** @throws CliError where none is found */
export function chooseViewer({ platform, vncType, vncPath, find }: ViewerChoice, port: number): ViewerCall {
  if (vncPath !== undefined) {
    const program = find(vncPath);
    if (program === undefined) throw new CliError(`there is no program ${vncPath}: see --vnc-path`);
    return { program, args: argumentsOf(vncType ?? typeOf(vncPath), port) };
  }
  const known = platform === "darwin" ? [...ON_DARWIN, ...ON_PATH] : ON_PATH;
  for (const { type, program } of known) {
    if (vncType !== undefined && type !== vncType) continue;
    const path = find(program);
    if (path !== undefined) return { program: path, args: argumentsOf(type, port) };
  }
  throw new CliError(
    `there is no VNC viewer${vncType === undefined ? "" : ` of the type ${vncType}`} on this machine: install ` +
      "remote-viewer or TigerVNC's vncviewer, or use --browser, or --proxy-only and a viewer of your own",
  );
}

function typeOf(path: string): VncType {
  return path.endsWith("remote-viewer") ? "remote-viewer" : "tiger";
}

/** Two colons for a port: with one, a small number would be a display's. */
function argumentsOf(type: VncType, port: number): readonly string[] {
  switch (type) {
    case "remote-viewer":
      return [`vnc://127.0.0.1:${port}`];
    case "real":
      return [`127.0.0.1::${port}`, "-WarnUnencrypted=0", "-Shared=0", "-ShareFiles=0"];
    case "chicken":
      return [`127.0.0.1:${port}`];
    case "tiger":
    case "tight":
      return [`127.0.0.1::${port}`];
  }
}
