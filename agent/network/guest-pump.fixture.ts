/**
 * Carries frames between two taps in two network namespaces, as qemu does between a tap and its guest. A line of
 * hexadecimal digits on standard input is one more frame from the guest.
 */
import { read, write } from "node:fs";
import { createInterface } from "node:readline";
import koffi from "koffi";

const CLONE_NEWNET = 0x40000000;
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const O_RDWR = 2;
const VNET_HEADER_BYTES = 10;
const IFREQ_BYTES = 40;
const MAX_FRAME_BYTES = 65_600;

const libc = koffi.load("libc.so.6");
const setns = libc.func("int setns(int fd, int nstype)");
const openSync = libc.func("int open(const char *path, int flags)");
const ioctl = libc.func("int ioctl(int fd, unsigned long request, void *argument)");

/** A namespace belongs to the thread, and so do these calls, all made by the main thread. */
function attach(netns: string, tap: string): number {
  const namespace = openSync(netns, 0);
  if (namespace < 0 || setns(namespace, CLONE_NEWNET) !== 0) throw new Error(`cannot enter ${netns}`);
  const descriptor = openSync("/dev/net/tun", O_RDWR);
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(tap, "ascii");
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, 16);
  if (ioctl(descriptor, TUNSETIFF, request) !== 0) throw new Error(`cannot attach to ${tap} in ${netns}`);
  return descriptor;
}

function pump(from: number, to: number): void {
  const frame = Buffer.alloc(MAX_FRAME_BYTES);
  read(from, frame, 0, frame.length, null, (readError, length) => {
    if (readError !== null) return setImmediate(pump, from, to);
    // A frame that the other side can't take (link down) is lost, as on a wire.
    return write(to, frame, 0, length, null, () => pump(from, to));
  });
}

const [podNetns = "", podTap = "", guestNetns = "", guestTap = ""] = process.argv.slice(2);
const pod = attach(podNetns, podTap);
const guest = attach(guestNetns, guestTap);
pump(pod, guest);
pump(guest, pod);
process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  write(pod, Buffer.concat([Buffer.alloc(VNET_HEADER_BYTES), Buffer.from(line, "hex")]), () => undefined);
}
