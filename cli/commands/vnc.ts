/** `virtpod vnc NAME`: a guest's screen in a viewer of this machine's, in its browser, or at a port for any other. */
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { delimiter, join } from "node:path";
import type { WebSocket } from "ws";
import { type Cluster, type ClusterFlags, clusterOf } from "../cluster.ts";
import { CliError } from "../errors.ts";
import { joinStream } from "../join.ts";
import { withProgress } from "../progress.ts";
import { openStream } from "../stream.ts";
import { subresourcePath } from "../subresource.ts";
import { printable } from "../table.ts";
import { chooseViewer, type VncType } from "../viewers.ts";

export interface VncFlags extends ClusterFlags {
  readonly address?: string;
  /** 0 for any that is free. */
  readonly port: number;
  readonly proxyOnly?: boolean;
  readonly browser?: boolean;
  readonly preserveSession?: boolean;
  readonly vncType?: VncType;
  readonly vncPath?: string;
  /** Of the environment. */
  readonly path: string;
}

const LOOPBACK = "127.0.0.1";
/** From the viewer's start to its connection. */
const VIEWER_TIMEOUT_MS = 60_000;
/** Close codes of a screen that was left, by either side. */
const ORDINARY: readonly number[] = [1000, 1005];

/** @throws CliError */
export async function vnc(name: string, flags: VncFlags): Promise<void> {
  const cluster = clusterOf(flags);
  if (flags.browser === true) return inBrowser(cluster, name, flags);
  const viewer = flags.proxyOnly === true ? undefined : (port: number) => startViewer(port, flags);
  const guest = await withProgress(`connecting to ${cluster.namespace}/${name}`, open(cluster, name, flags));
  const server = createServer({ noDelay: true });
  const port = await listen(server, flags.port, flags.proxyOnly === true ? flags.address : undefined);
  try {
    if (viewer === undefined) process.stdout.write(`${JSON.stringify({ port })}\n`);
    const left = new Promise<undefined>((resolve) => process.once("SIGINT", () => resolve(undefined)));
    const socket = await Promise.race([connection(server, guest), viewer?.(port) ?? never, left]);
    if (socket === undefined) return;
    const { code, reason } = await Promise.race([joinStream(guest, socket, socket), left.then(() => CLOSED)]);
    if (!ORDINARY.includes(code) && !socket.destroyed)
      throw new CliError(
        `the screen of ${cluster.namespace}/${name} has ended: ${printable(reason) || code}`,
      );
    socket.destroy();
  } finally {
    server.close();
    guest.terminate();
  }
}

const CLOSED = { code: 1000, reason: "" };
const never = new Promise<never>(() => {});

/** One viewer: who wants another runs this again. @throws CliError when the guest's side ends first */
function connection(server: Server, guest: WebSocket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    guest.once("close", (_code, reason) =>
      reject(
        new CliError(`the guest's screen has ended before a viewer came: ${printable(reason.toString())}`),
      ),
    );
    server.once("connection", (socket) => {
      server.close();
      resolve(socket);
    });
  });
}

/** Never resolves: a viewer ends by leaving its connection. @throws CliError when it can't be run */
function startViewer(port: number, { vncType, vncPath, path }: VncFlags): Promise<never> {
  const find = (program: string) => findProgram(program, path);
  const choice = { platform: process.platform, find };
  const { program, args } = chooseViewer(
    { ...choice, ...(vncType !== undefined && { vncType }), ...(vncPath !== undefined && { vncPath }) },
    port,
  );
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  return new Promise((_resolve, reject) => {
    const late = setTimeout(
      () => reject(new CliError(`${program} has not connected within ${VIEWER_TIMEOUT_MS / 1000} s`)),
      VIEWER_TIMEOUT_MS,
    );
    late.unref();
    child.once("error", (cause) => reject(new CliError(`${program}: ${cause.message}`, { cause })));
    child.once("close", (code) =>
      reject(new CliError(`${program} ended with status ${code} before it had connected`)),
    );
  });
}

async function inBrowser(cluster: Cluster, name: string, flags: VncFlags): Promise<void> {
  if (flags.address !== undefined)
    throw new CliError("--browser serves its page on loopback only: leave --address away");
  if (flags.vncType !== undefined || flags.vncPath !== undefined)
    throw new CliError("--browser shows the screen itself: leave --vnc-type and --vnc-path away");
  // A VMI that isn't there is told here, not on a page.
  const first = await withProgress(`connecting to ${cluster.namespace}/${name}`, open(cluster, name, flags));
  first.terminate();
  const { serveViewer } = await import("../viewer/server.ts");
  const { viewerScript } = await import("../viewer/script.ts");
  const viewer = await serveViewer({
    title: `${cluster.namespace}/${name}`,
    script: await viewerScript(),
    port: flags.port,
    open: () => open(cluster, name, flags),
  }).catch((cause: Error) => {
    throw new CliError(`can't open port ${flags.port} on loopback: ${cause.message}`, { cause });
  });
  const { port, url } = viewer;
  process.stdout.write(flags.proxyOnly === true ? `${JSON.stringify({ port, url })}\n` : `${url}\n`);
  if (flags.proxyOnly !== true) showUrl(url, flags.path);
  await new Promise<void>((resolve) => process.once("SIGINT", resolve));
  viewer.close();
}

/** Where nothing opens it, the person still has it on the terminal. */
function showUrl(url: string, path: string): void {
  const openers = { darwin: "open", win32: "explorer.exe" } as Readonly<Record<string, string>>;
  const opener = findProgram(openers[process.platform] ?? "xdg-open", path);
  if (opener === undefined) return;
  const child = spawn(opener, [url], { stdio: "ignore", detached: true });
  child.once("error", () => {});
  child.unref();
}

function open(cluster: Cluster, name: string, { preserveSession }: VncFlags): Promise<WebSocket> {
  const { namespace } = cluster;
  const path = subresourcePath({ namespace, resource: "virtualmachineinstances", name, subresource: "vnc" });
  return openStream(cluster, preserveSession === true ? `${path}?preserveSession=true` : path);
}

function listen(server: Server, port: number, address = LOOPBACK): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new CliError(`can't open port ${port} of ${address}: ${cause.message}`, { cause })),
    );
    server.listen(port, address, () => {
      const bound = server.address();
      resolve(typeof bound === "object" && bound !== null ? bound.port : port);
    });
  });
}

/** A path as it is, a name on the PATH. */
function findProgram(program: string, path: string): string | undefined {
  const candidates = program.includes("/")
    ? [program]
    : path.split(delimiter).map((folder) => join(folder, program));
  return candidates.find((candidate) => {
    try {
      accessSync(candidate, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
