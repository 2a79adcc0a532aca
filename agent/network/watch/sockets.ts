/**
 * Sockets of the kernel's that Node has none of, opened inside a pod's network namespace. A socket stays in the
 * namespace that it was opened in, so it is used and waited for on Node's own loop, with no process and no thread.
 */
import { closeSync } from "node:fs";
import { constants } from "node:os";
import koffi from "koffi";
import { NetworkError } from "../errors.ts";
import type { Namespace } from "../namespace.ts";

const AF_NETLINK = 16;
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_NETFILTER = 12;
const ETH_P_ALL = 0x0003;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
/** Above any frame that is let through and any batch of the kernel's netlink messages; every socket's, in turn. */
const RECEIVED = Buffer.alloc(64 * 1024);
/** So many messages are taken at a time before others get their turn; the loop comes back for the rest. */
const BURST = 64;

// The symbols are the ones that the running Node binary itself is linked to.
const libc = koffi.load(null);
koffi.struct("sock_fprog", { len: "uint16_t", filter: "void *" });
const openSocket = libc.func("int socket(int domain, int type, int protocol)");
const bind = libc.func("int bind(int fd, const void *address, uint32_t length)");
const attachFilter = libc.func(
  "int setsockopt(int fd, int level, int name, const sock_fprog *value, uint32_t length)",
);
const sendBytes = libc.func("int64_t send(int fd, const void *data, size_t length, int flags)");
const receiveBytes = libc.func("int64_t recv(int fd, void *data, size_t length, int flags)");
const indexOf = libc.func("uint32_t if_nametoindex(const char *name)");

/** Datagrams in both directions. */
export interface DatagramSocket extends Disposable {
  /** False where the kernel doesn't take it now: the link is down, or the queue is full. */
  send(datagram: Uint8Array): boolean;
  /** The datagram is only valid during the call. Once per socket. */
  onDatagram(listener: (datagram: Buffer) => void): void;
  /** Hears nothing more; what comes meanwhile waits in the kernel, or finds no room. */
  pause(): void;
  resume(): void;
}

/** What a frame socket hears: ARP, or hosts' questions for routers. */
export type Heard = "arp" | "router-solicitation";

/**
 * Sends whole Ethernet frames on a link, past bridges and rules, and hears what comes in on it of one kind.
 * @throws NetworkError CommandFailed
 */
export function openFrameSocket(namespace: Namespace, link: string, heard: Heard = "arp"): DatagramSocket {
  return namespace.enter(() => {
    // Without a protocol it hears nothing until it is bound, and then only what the filter lets through.
    const fd = open(AF_PACKET, 0, "packet");
    return orClose(fd, () => {
      const length = koffi.sizeof("sock_fprog");
      const filter = FILTERS[heard];
      const program = { len: filter.length / FILTER_INSTRUCTION_BYTES, filter };
      check(attachFilter(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, length), "filter frames");
      const index: number = indexOf(link);
      if (index === 0) throw failure(`find the link ${link}`);
      // struct sockaddr_ll: a bridge takes the frames of its ports before a socket for one protocol would see them.
      const address = Buffer.alloc(20);
      address.writeUInt16LE(AF_PACKET, 0);
      address.writeUInt16BE(ETH_P_ALL, 2);
      address.writeInt32LE(index, 4);
      check(bind(fd, address, address.length), `bind to ${link}`);
      return new KernelSocket(fd);
    });
  });
}

/** @throws NetworkError CommandFailed */
export function openNetfilterSocket(namespace: Namespace): DatagramSocket {
  return namespace.enter(() => {
    const fd = open(AF_NETLINK, NETLINK_NETFILTER, "netfilter");
    return orClose(fd, () => {
      // struct sockaddr_nl: the kernel chooses the port.
      const address = Buffer.alloc(12);
      address.writeUInt16LE(AF_NETLINK, 0);
      check(bind(fd, address, address.length), "bind to netfilter");
      return new KernelSocket(fd);
    });
  });
}

const FILTER_INSTRUCTION_BYTES = 8;
const LOAD_HALF_WORD = 0x28;
const LOAD_BYTE = 0x30;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
/** Classic BPF (linux/filter.h): each value at its offset in the frame, or nothing of it. */
const FILTERS: Readonly<Record<Heard, Buffer>> = {
  arp: filterOf([{ load: LOAD_HALF_WORD, offset: 12, equals: 0x0806 }]),
  "router-solicitation": filterOf([
    { load: LOAD_HALF_WORD, offset: 12, equals: 0x86dd },
    // Next header and ICMPv6 type.
    { load: LOAD_BYTE, offset: 20, equals: 58 },
    { load: LOAD_BYTE, offset: 54, equals: 133 },
  ]),
};

interface FieldTest {
  readonly load: number;
  readonly offset: number;
  readonly equals: number;
}

function filterOf(tests: readonly FieldTest[]): Buffer {
  const steps = tests.flatMap(({ load, offset, equals }, index) => [
    instruction(load, 0, 0, offset),
    // Past the tests that are left, and the instruction that takes the frame.
    instruction(JUMP_IF_EQUAL, 0, 2 * (tests.length - index - 1) + 1, equals),
  ]);
  return Buffer.concat([...steps, instruction(RETURN, 0, 0, 0x40000), instruction(RETURN, 0, 0, 0)]);
}

function instruction(code: number, jumpTrue: number, jumpFalse: number, operand: number): Buffer {
  const bytes = Buffer.alloc(FILTER_INSTRUCTION_BYTES);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(jumpTrue, 2);
  bytes.writeUInt8(jumpFalse, 3);
  bytes.writeUInt32LE(operand, 4);
  return bytes;
}

class KernelSocket implements DatagramSocket {
  readonly #fd: number;
  /** Set once somebody listens. */
  #resume: (() => void) | undefined;
  #poll: ReturnType<typeof koffi.node.poll> | undefined;
  #isOpen = true;
  #isPaused = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  send(datagram: Uint8Array): boolean {
    return this.#isOpen && Number(sendBytes(this.#fd, datagram, datagram.length, 0)) === datagram.length;
  }

  onDatagram(listener: (datagram: Buffer) => void): void {
    const drain = (): void => {
      for (let i = 0; i < BURST && this.#isOpen && !this.#isPaused; i++) {
        const length = Number(receiveBytes(this.#fd, RECEIVED, RECEIVED.length, 0));
        if (length < 0) {
          if (koffi.errno() !== constants.errno.EAGAIN) resume();
          return;
        }
        listener(RECEIVED.subarray(0, length));
      }
    };
    // The link went down, or messages had no room. libuv stops at an error, which reading has cleared.
    const resume = (): void => this.#poll?.start({ readable: true }, drain);
    this.#poll = koffi.node.poll(this.#fd, { readable: true }, drain);
    // Guests are served as long as there is a connection to a launcher; this is beside it.
    this.#poll.unref();
    this.#resume = resume;
  }

  pause(): void {
    this.#isPaused = true;
    this.#poll?.stop();
  }

  resume(): void {
    if (!this.#isPaused || !this.#isOpen) return;
    this.#isPaused = false;
    this.#resume?.();
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#poll?.close();
    closeSync(this.#fd);
  }
}

function open(domain: number, protocol: number, what: string): number {
  const fd: number = openSocket(domain, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  check(fd, `open a ${what} socket`);
  return fd;
}

function orClose<T>(fd: number, use: () => T): T {
  try {
    return use();
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function check(result: number, what: string): void {
  if (result < 0) throw failure(what);
}

function failure(what: string): NetworkError {
  const number = koffi.errno();
  const name = Object.entries(constants.errno).find(([, value]) => value === number)?.[0] ?? String(number);
  return new NetworkError("CommandFailed", `${what} in the pod's network namespace: ${name}`);
}
