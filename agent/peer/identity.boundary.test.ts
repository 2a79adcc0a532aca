/** Who dialled, asked of the real kernel: processes in cgroups and network namespaces that the test makes. Root. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, rmdir } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LAUNCHER_UID } from "../../api/names.ts";
import { AgentError } from "../errors.ts";
import { peerCredentials } from "./credentials.ts";
import { identifyPeer, namespaceIdOf } from "./identity.ts";

const POD_UID = "5b1c6c1e-8d2a-4f5b-9c7d-1e2f3a4b5c6d";
const CONTAINER_ID = "c3".repeat(32);
// Any hierarchy serves; on a cgroup v1 machine the memory controller's has a place for processes.
const CGROUP_ROOT = existsSync("/sys/fs/cgroup/cgroup.controllers")
  ? "/sys/fs/cgroup"
  : "/sys/fs/cgroup/memory";
const podCgroup = join(CGROUP_ROOT, `kubepods-test-${process.pid}`, `pod${POD_UID}`);
const containerCgroup = join(podCgroup, CONTAINER_ID);

const hostNetwork = new Set([namespaceIdOf("/proc/self/ns/net")]);
let directory: string;
let server: Server;
const children = new Set<ChildProcess>();

before(async () => {
  await mkdir(containerCgroup, { recursive: true });
  directory = await mkdtemp(join(tmpdir(), "peer-"));
  await chmod(directory, 0o755);
  server = createServer().listen({
    path: join(directory, "agent.sock"),
    readableAll: true,
    writableAll: true,
  });
  await once(server, "listening");
});

after(async () => {
  for (const child of children) {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }
  server.close();
  await rm(directory, { recursive: true });
  await rmdir(containerCgroup);
  await rmdir(podCgroup);
  await rmdir(join(podCgroup, ".."));
});

interface CallerOptions {
  readonly uid?: number;
  readonly inPod?: boolean;
  readonly ownNetwork?: boolean;
}

/** Starts a process with a place as a launcher has it, which dials the socket; resolves with the accepted end. */
async function dialFrom({ uid = LAUNCHER_UID, inPod = true, ownNetwork = true }: CallerOptions) {
  const connect = `require("node:net").connect(${JSON.stringify(join(directory, "agent.sock"))}).resume()`;
  const setpriv = ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
  const unshare = ownNetwork ? ["unshare", "--net"] : [];
  const join_ = inPod ? `echo $$ > ${containerCgroup}/cgroup.procs; ` : "";
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const child = spawn("sh", [
    "-c",
    `${join_}exec "$@"`,
    "sh",
    ...unshare,
    ...setpriv,
    process.execPath,
    "-e",
    connect,
  ]);
  children.add(child);
  const [socket] = await accepted;
  return { child, socket };
}

function refusal(code: string): (error: unknown) => boolean {
  return (error) => error instanceof AgentError && error.code === code;
}

test("a launcher's process gives its pod, its container and its network namespace", async () => {
  const { child, socket } = await dialFrom({});
  const peer = identifyPeer(socket, hostNetwork);
  assert.equal(peer.process.pid, child.pid);
  assert.equal(peer.podUid, POD_UID);
  assert.equal(peer.containerId, CONTAINER_ID);
  assert.equal(namespaceIdOf(peer.networkNamespacePath), namespaceIdOf(`/proc/${child.pid}/ns/net`));
  peer.close();
  peer.close();
  socket.destroy();
});

test("the held namespace outlives the process, the process's files do not", async () => {
  const { child, socket } = await dialFrom({});
  const peer = identifyPeer(socket, hostNetwork);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.ok(!hostNetwork.has(namespaceIdOf(peer.networkNamespacePath)));
  assert.throws(() => peer.process.read("cgroup"), refusal("PeerGone"));
  peer.close();
  socket.destroy();
});

test("a caller that has ended is nobody", async () => {
  const { child, socket } = await dialFrom({});
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.throws(() => identifyPeer(socket, hostNetwork), refusal("PeerGone"));
  socket.destroy();
});

test("a pod on the node's own network is refused", async () => {
  const { socket } = await dialFrom({ ownNetwork: false });
  assert.throws(() => identifyPeer(socket, hostNetwork), refusal("PeerOnHostNetwork"));
  socket.destroy();
});

test("a process outside of any pod is refused", async () => {
  const { socket } = await dialFrom({ inPod: false });
  assert.throws(() => identifyPeer(socket, hostNetwork), refusal("PeerNotInPod"));
  socket.destroy();
});

test("a process of another user than the launchers' is refused", async () => {
  const { child, socket } = await dialFrom({ uid: 1234 });
  assert.deepEqual(peerCredentials(socket), { pid: child.pid, uid: 1234, gid: 1234 });
  assert.throws(() => identifyPeer(socket, hostNetwork), refusal("PeerNotLauncher"));
  socket.destroy();
});

test("a connection that is closed already is refused", async () => {
  const { socket } = await dialFrom({});
  socket.destroy();
  assert.throws(() => identifyPeer(socket, hostNetwork), refusal("PeerGone"));
});
