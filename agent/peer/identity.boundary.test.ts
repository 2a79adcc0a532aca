/** Who dialled, asked of the real kernel: processes in cgroups and network namespaces that the test makes. Root. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LAUNCHER_UID } from "../../api/names.ts";
import { AgentError } from "../errors.ts";
import { peerCredentials } from "./credentials.ts";
import { end, FakePod, type FakeProcessOptions } from "./fake-pod.ts";
import { identifyPeer, namespaceIdOf } from "./identity.ts";

const hostNetwork = new Set([namespaceIdOf("/proc/self/ns/net")]);
let directory: string;
let server: Server;
let pod: FakePod;

before(async () => {
  pod = await FakePod.create();
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
  await pod.remove();
  server.close();
  await rm(directory, { recursive: true });
});

/** Starts a process with a place as a launcher has it, which dials the socket; resolves with the accepted end. */
async function dialFrom({ uid = LAUNCHER_UID, ...options }: FakeProcessOptions & { readonly uid?: number }) {
  const script = `
    process.setgid(${uid});
    process.setuid(${uid});
    require("node:net").connect(${JSON.stringify(join(directory, "agent.sock"))}).resume();
    process.stdin.resume();
  `;
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const child = pod.spawn(["-e", script], options);
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
  assert.equal(peer.podUid, pod.podUid);
  assert.equal(peer.containerId, pod.containerId);
  assert.equal(namespaceIdOf(peer.networkNamespacePath), namespaceIdOf(`/proc/${child.pid}/ns/net`));
  peer.close();
  peer.close();
  socket.destroy();
});

test("the held namespace outlives the process, the process's files do not", async () => {
  const { child, socket } = await dialFrom({});
  const peer = identifyPeer(socket, hostNetwork);
  await end(child);
  assert.ok(!hostNetwork.has(namespaceIdOf(peer.networkNamespacePath)));
  assert.throws(() => peer.process.read("cgroup"), refusal("PeerGone"));
  peer.close();
  socket.destroy();
});

test("a caller that has ended is nobody", async () => {
  const { child, socket } = await dialFrom({});
  await end(child);
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
