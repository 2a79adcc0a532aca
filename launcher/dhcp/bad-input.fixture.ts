/** What DHCP servers have broken on, for tests. */
import { type ClientMessage, clientMessage, DISCOVER_OPTIONS } from "./packet.fixture.ts";

const TABLE: readonly (readonly [claim: string, message: ClientMessage | Uint8Array, expected: string])[] = [
  ["an empty datagram", new Uint8Array(), "tooShort"],
  ["less than a BOOTP header", new Uint8Array(235).fill(1), "tooShort"],
  ["a header without a cookie", clientMessage({}).subarray(0, 236), "tooShort"],
  ["no options at all", {}, "noMessageType"],
  ["a wrong cookie", { cookie: 0x11111111, options: DISCOVER_OPTIONS }, "badCookie"],
  ["a reply", { op: 2, options: DISCOVER_OPTIONS }, "notARequest"],
  ["an address of no length", { hardwareLength: 0, options: DISCOVER_OPTIONS }, "badHardwareLength"],
  ["an address of 17 bytes", { hardwareLength: 17, options: DISCOVER_OPTIONS }, "badHardwareLength"],
  ["an address of 255 bytes", { hardwareLength: 255, options: DISCOVER_OPTIONS }, "badHardwareLength"],
  ["an IEEE 802 address", { hardwareType: 6, options: DISCOVER_OPTIONS }, "badHardwareType"],
  ["an InfiniBand address", { hardwareType: 32, options: DISCOVER_OPTIONS }, "badHardwareType"],
  ["an option code as the last byte", { options: [53, 1, 1, 12] }, "truncatedOption"],
  ["a length past the end", { options: [53, 1, 1, 61, 200, 1, 2] }, "truncatedOption"],
  ["a message type of no length", { options: [53, 0, 255] }, "badMessageType"],
  ["a message type of four bytes", { options: [53, 4, 1, 1, 1, 1, 255] }, "badMessageType"],
  ["no message type", { options: [12, 1, 65, 255] }, "noMessageType"],
  ["message type 0", { options: [53, 1, 0, 255] }, "badMessageType"],
  ["message type 9", { options: [53, 1, 9, 255] }, "badMessageType"],
  ["message type 255", { options: [53, 1, 255, 255] }, "badMessageType"],
  ["two message types, which are joined", { options: [53, 1, 1, 53, 1, 3, 255] }, "badMessageType"],
  ["a client identifier of no length", { options: [53, 1, 1, 61, 0, 255] }, "badOptionLength"],
  [
    "a client identifier of 255 bytes",
    { options: [53, 1, 1, 61, 255, ...new Array(255).fill(0), 255] },
    "accepted",
  ],
  ["a client identifier with NULs", { options: [53, 1, 1, 61, 3, 0, 0, 7, 255] }, "accepted"],
  ["a requested address of no length", { options: [53, 1, 3, 50, 0, 255] }, "badOptionLength"],
  ["a requested address of 3 bytes", { options: [53, 1, 3, 50, 3, 1, 2, 3, 255] }, "badOptionLength"],
  ["a requested address of 5 bytes", { options: [53, 1, 3, 50, 5, 1, 2, 3, 4, 5, 255] }, "badOptionLength"],
  ["a server identifier of 3 bytes", { options: [53, 1, 3, 54, 3, 1, 2, 3, 255] }, "badOptionLength"],
  [
    "DNS servers of 5 bytes, which nobody reads",
    { options: [53, 1, 1, 6, 5, 1, 2, 3, 4, 5, 255] },
    "accepted",
  ],
  ["maximum size 0", { options: [53, 1, 1, 57, 2, 0, 0, 255] }, "accepted"],
  ["maximum size of one byte", { options: [53, 1, 1, 57, 1, 0, 255] }, "badOptionLength"],
  [
    "overload 1 and garbage in file",
    { file: [61, 200], options: [53, 1, 1, 52, 1, 1, 255] },
    "truncatedOption",
  ],
  [
    "overload 2 and garbage in sname",
    { sname: [61, 200], options: [53, 1, 1, 52, 1, 2, 255] },
    "truncatedOption",
  ],
  ["overload 3 and only pads", { options: [53, 1, 1, 52, 1, 3, 255] }, "accepted"],
  ["overload 4", { options: [53, 1, 1, 52, 1, 4, 255] }, "badOverload"],
  ["overload of no length", { options: [53, 1, 1, 52, 0, 255] }, "badOverload"],
  ["overload twice", { options: [53, 1, 1, 52, 1, 1, 52, 1, 2, 255] }, "badOverload"],
  [
    "overload inside the overloaded field",
    { file: [52, 1, 2, 255], sname: [61, 200], options: [53, 1, 1, 52, 1, 1, 255] },
    "accepted",
  ],
  ["the message type in file only", { file: [53, 1, 1, 255], options: [52, 1, 1, 255] }, "accepted"],
  [
    "an option 255 times",
    { options: [...new Array(255).fill([12, 1, 65]).flat(), 53, 1, 1, 255] },
    "accepted",
  ],
  ["no END", { options: [53, 1, 1] }, "accepted"],
  ["garbage after END", { options: [...DISCOVER_OPTIONS, 61, 200, 1] }, "accepted"],
  ["only pads to 1500 bytes", { options: new Array(1260).fill(0) }, "noMessageType"],
  ["one pad before the type", { options: [0, 53, 1, 1, 255] }, "accepted"],
  ["a host name of control characters", { options: [53, 1, 1, 12, 4, 0, 10, 255, 254, 255] }, "accepted"],
  ["a looping name in option 81", { options: [53, 1, 1, 81, 5, 4, 0, 0, 0xc0, 3, 255] }, "accepted"],
  ["bad sub-lengths in option 82", { options: [53, 1, 1, 82, 3, 1, 200, 9, 255] }, "accepted"],
  [
    "a request list of what is no parameter",
    { options: [53, 1, 1, 55, 9, 50, 52, 55, 56, 60, 61, 80, 116, 145, 255] },
    "accepted",
  ],
  ["more than a frame", { options: [...DISCOVER_OPTIONS, ...new Array(1257).fill(0)] }, "tooLong"],
  ["64 KiB", new Uint8Array(65_507), "tooLong"],
];

export interface BadInput {
  readonly claim: string;
  readonly message: Uint8Array;
  /** Why it is dropped, or `accepted`: then it is a DISCOVER. */
  readonly expected: string;
}

export const BAD_INPUTS: readonly BadInput[] = TABLE.map(([claim, message, expected]) => ({
  claim,
  message: message instanceof Uint8Array ? message : clientMessage(message),
  expected,
}));
