/**
 * A TFTP server (RFC 1350) for files of less than a block, for tests: the files by name as a JSON object in its first
 * argument. Says each name that it is asked for as a line of JSON, `{listening: true}` first.
 */
import { createSocket } from "node:dgram";

const PORT = 69;
const READ_REQUEST = 1;
const DATA = 3;
const ERROR = 5;
const FILE_NOT_FOUND = 1;

const files = JSON.parse(process.argv[2] ?? "{}") as Readonly<Record<string, string>>;
const say = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

const socket = createSocket("udp4");
socket.on("message", (request, { address, port }) => {
  if (request.readUInt16BE() !== READ_REQUEST) return;
  const name = request.subarray(2, request.indexOf(0, 2)).toString("latin1");
  const content = files[name];
  say({ asked: name });
  const reply =
    content === undefined
      ? [Buffer.from([0, ERROR, 0, FILE_NOT_FOUND]), Buffer.from("no such file\0")]
      : [Buffer.from([0, DATA, 0, 1]), Buffer.from(content)];
  // Each transfer has a port of its own on the server's side; one block is the whole of it.
  const transfer = createSocket("udp4");
  transfer.on("message", () => transfer.close());
  transfer.send(Buffer.concat(reply), port, address);
  transfer.unref();
});
socket.bind(PORT, () => say({ listening: true }));
