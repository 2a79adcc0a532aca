import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parsePort } from "./ports.ts";

describe("a port to forward is", () => {
  for (const [text, protocol, local, guest] of [
    ["8080", "tcp", 8080, 8080],
    ["8080:80", "tcp", 8080, 80],
    ["tcp/8080:80", "tcp", 8080, 80],
    ["UDP/5353:53", "udp", 5353, 53],
    ["0:80", "tcp", 0, 80],
  ] as const)
    test(text, () => assert.deepEqual(parsePort(text), { protocol, local, guest }));
});

describe("no port to forward is", () => {
  for (const text of ["", "http", "80:", ":80", "8080:0", "0", "65536", "80:70000", "sctp/80", "1:2:3", "-1"])
    test(JSON.stringify(text), () => assert.throws(() => parsePort(text), { name: "CliError" }));
});
