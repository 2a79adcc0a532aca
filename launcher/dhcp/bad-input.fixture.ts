/**
 * What DHCP servers have broken on, for tests, in 28 kinds; 0 is what belongs to none of them. The last kind, datagrams
 * that lie about their length or come in fragments, is the kernel's to sort out: server.boundary.test.ts.
 */
import { type ClientMessage, clientMessage, DISCOVER_OPTIONS } from "./packet.fixture.ts";

const TABLE: readonly (readonly [
  kind: number,
  claim: string,
  message: ClientMessage | Uint8Array,
  expected: string,
])[] = [
  [1, "an empty datagram", new Uint8Array(), "tooShort"],
  [2, "less than a BOOTP header", new Uint8Array(235).fill(1), "tooShort"],
  [3, "a header without a cookie", clientMessage({}).subarray(0, 236), "tooShort"],
  [4, "no options at all", {}, "noMessageType"],
  [5, "a wrong cookie", { cookie: 0x11111111, options: DISCOVER_OPTIONS }, "badCookie"],
  [6, "a reply", { op: 2, options: DISCOVER_OPTIONS }, "notARequest"],
  [7, "an address of no length", { hardwareLength: 0, options: DISCOVER_OPTIONS }, "badHardwareLength"],
  [8, "an address of 17 bytes", { hardwareLength: 17, options: DISCOVER_OPTIONS }, "badHardwareLength"],
  [8, "an address of 255 bytes", { hardwareLength: 255, options: DISCOVER_OPTIONS }, "badHardwareLength"],
  [9, "an IEEE 802 address", { hardwareType: 6, options: DISCOVER_OPTIONS }, "badHardwareType"],
  [9, "an InfiniBand address", { hardwareType: 32, options: DISCOVER_OPTIONS }, "badHardwareType"],
  [10, "an option code as the last byte", { options: [53, 1, 1, 12] }, "truncatedOption"],
  [11, "a length past the end", { options: [53, 1, 1, 61, 200, 1, 2] }, "truncatedOption"],
  [12, "a message type of no length", { options: [53, 0, 255] }, "badMessageType"],
  [12, "a message type of four bytes", { options: [53, 4, 1, 1, 1, 1, 255] }, "badMessageType"],
  [12, "no message type", { options: [12, 1, 65, 255] }, "noMessageType"],
  [13, "message type 0", { options: [53, 1, 0, 255] }, "badMessageType"],
  [13, "message type 9", { options: [53, 1, 9, 255] }, "badMessageType"],
  [13, "message type 255", { options: [53, 1, 255, 255] }, "badMessageType"],
  [20, "two message types, which are joined", { options: [53, 1, 1, 53, 1, 3, 255] }, "badMessageType"],
  [14, "a client identifier of no length", { options: [53, 1, 1, 61, 0, 255] }, "badOptionLength"],
  [
    15,
    "a client identifier of 255 bytes",
    { options: [53, 1, 1, 61, 255, ...new Array(255).fill(0), 255] },
    "accepted",
  ],
  [15, "a client identifier with NULs", { options: [53, 1, 1, 61, 3, 0, 0, 7, 255] }, "accepted"],
  [16, "a requested address of no length", { options: [53, 1, 3, 50, 0, 255] }, "badOptionLength"],
  [16, "a requested address of 3 bytes", { options: [53, 1, 3, 50, 3, 1, 2, 3, 255] }, "badOptionLength"],
  [
    16,
    "a requested address of 5 bytes",
    { options: [53, 1, 3, 50, 5, 1, 2, 3, 4, 5, 255] },
    "badOptionLength",
  ],
  [16, "a server identifier of 3 bytes", { options: [53, 1, 3, 54, 3, 1, 2, 3, 255] }, "badOptionLength"],
  [
    17,
    "DNS servers of 5 bytes, which nobody reads",
    { options: [53, 1, 1, 6, 5, 1, 2, 3, 4, 5, 255] },
    "accepted",
  ],
  [18, "maximum size 0", { options: [53, 1, 1, 57, 2, 0, 0, 255] }, "accepted"],
  [18, "maximum size 1", { options: [53, 1, 1, 57, 2, 0, 1, 255] }, "accepted"],
  [18, "maximum size 65535", { options: [53, 1, 1, 57, 2, 255, 255, 255] }, "accepted"],
  [18, "maximum size of one byte", { options: [53, 1, 1, 57, 1, 0, 255] }, "badOptionLength"],
  [
    19,
    "overload 1 and garbage in file",
    { file: [61, 200], options: [53, 1, 1, 52, 1, 1, 255] },
    "truncatedOption",
  ],
  [
    19,
    "overload 2 and garbage in sname",
    { sname: [61, 200], options: [53, 1, 1, 52, 1, 2, 255] },
    "truncatedOption",
  ],
  [19, "overload 3 and only pads", { options: [53, 1, 1, 52, 1, 3, 255] }, "accepted"],
  [19, "overload 4", { options: [53, 1, 1, 52, 1, 4, 255] }, "badOverload"],
  [19, "overload of no length", { options: [53, 1, 1, 52, 0, 255] }, "badOverload"],
  [19, "overload twice", { options: [53, 1, 1, 52, 1, 1, 52, 1, 2, 255] }, "badOverload"],
  [
    19,
    "overload inside the overloaded field",
    { file: [52, 1, 2, 255], sname: [61, 200], options: [53, 1, 1, 52, 1, 1, 255] },
    "accepted",
  ],
  [19, "the message type in file only", { file: [53, 1, 1, 255], options: [52, 1, 1, 255] }, "accepted"],
  [
    20,
    "an option 255 times",
    { options: [...new Array(255).fill([12, 1, 65]).flat(), 53, 1, 1, 255] },
    "accepted",
  ],
  [21, "no END", { options: [53, 1, 1] }, "accepted"],
  [22, "garbage after END", { options: [...DISCOVER_OPTIONS, 61, 200, 1] }, "accepted"],
  [23, "only pads to 1500 bytes", { options: new Array(1260).fill(0) }, "noMessageType"],
  [23, "one pad before the type", { options: [0, 53, 1, 1, 255] }, "accepted"],
  [24, "a host name of control characters", { options: [53, 1, 1, 12, 4, 0, 10, 255, 254, 255] }, "accepted"],
  [25, "a looping name in option 81", { options: [53, 1, 1, 81, 5, 4, 0, 0, 0xc0, 3, 255] }, "accepted"],
  [26, "bad sub-lengths in option 82", { options: [53, 1, 1, 82, 3, 1, 200, 9, 255] }, "accepted"],
  [
    27,
    "network boot, vendor and subnet options that no lease matches",
    { options: [53, 1, 1, 43, 2, 1, 200, 60, 0, 77, 1, 9, 93, 1, 0, 97, 3, 0, 1, 2, 118, 2, 1, 1, 255] },
    "accepted",
  ],
  [
    0,
    "a request list of what is no parameter",
    { options: [53, 1, 1, 55, 9, 50, 52, 55, 56, 60, 61, 80, 116, 145, 255] },
    "accepted",
  ],
  [0, "more than a frame", { options: [...DISCOVER_OPTIONS, ...new Array(1257).fill(0)] }, "tooLong"],
  [0, "64 KiB", new Uint8Array(65_507), "tooLong"],
];

/** Kinds of bad input, the kernel's included. */
export const BAD_INPUT_KINDS = 28;

export interface BadInput {
  /** 1 to 27, or 0. */
  readonly kind: number;
  readonly claim: string;
  readonly message: Uint8Array;
  /** Why it is dropped, or `accepted`: then it is a DISCOVER. */
  readonly expected: string;
}

export const BAD_INPUTS: readonly BadInput[] = TABLE.map(([kind, claim, message, expected]) => ({
  kind,
  claim,
  message: message instanceof Uint8Array ? message : clientMessage(message),
  expected,
}));
