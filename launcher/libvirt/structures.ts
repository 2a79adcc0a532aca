/** Structures that several of libvirt's messages share. */
import type { LibvirtErrorRecord } from "./errors.ts";
import { XdrError, type XdrReader, type XdrWriter } from "./xdr.ts";

/** A domain as libvirt's messages name it. Only the UUID is stable; libvirtd finds the domain by it. */
export interface DomainRef {
  readonly name: string;
  /** Lower case, with hyphens. */
  readonly uuid: string;
  /** Number of the running domain, -1 when it doesn't run. */
  readonly id: number;
}

/** What libvirtd needs to find a domain; a name and a number could be stale. */
export function refByUuid(uuid: string): DomainRef {
  return { name: "", uuid: uuid.toLowerCase(), id: -1 };
}

export type TypedParameters = Readonly<Record<string, number | bigint | boolean | string>>;

export function writeUuid(writer: XdrWriter, uuid: string): void {
  const hex = uuid.replaceAll("-", "");
  if (!/^[0-9a-f]{32}$/i.test(hex)) throw new XdrError("XDR_VALUE", `${JSON.stringify(uuid)} is no UUID`);
  writer.fixed(Buffer.from(hex, "hex"));
}

export function readUuid(reader: XdrReader): string {
  const hex = reader.fixed(16).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export function writeDomain(writer: XdrWriter, domain: DomainRef): void {
  writer.string(domain.name);
  writeUuid(writer, domain.uuid);
  writer.int(domain.id);
}

export function readDomain(reader: XdrReader): DomainRef {
  return { name: reader.string(), uuid: readUuid(reader), id: reader.int() };
}

/** virTypedParameterType 1 to 7. 64-bit values become numbers where a number holds them exactly. */
export function readTypedParameters(reader: XdrReader, maxItems: number): TypedParameters {
  return Object.fromEntries(reader.array(maxItems, (item) => [item.string(), readTypedValue(item)]));
}

function readTypedValue(reader: XdrReader): number | bigint | boolean | string {
  const tag = reader.int();
  switch (tag) {
    case 1:
      return reader.int();
    case 2:
      return reader.uint();
    case 3:
      return narrow(reader.hyper());
    case 4:
      return narrow(reader.uhyper());
    case 5:
      return reader.double();
    case 6:
      return reader.int() !== 0;
    case 7:
      return reader.string();
    default:
      throw new XdrError("XDR_VALUE", `${tag} is no type of a typed parameter`);
  }
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** `remote_error`: the payload of every reply with status error. */
export function readErrorRecord(reader: XdrReader): LibvirtErrorRecord {
  const number = reader.int();
  const domain = reader.int();
  const message = reader.optionalString() ?? `error ${number} without a message`;
  reader.int(); // level
  reader.optional(readDomain);
  for (let i = 0; i < 3; i += 1) reader.optionalString(); // format and details: parts of the message
  const int1 = reader.int();
  reader.int(); // int2
  reader.optional((network) => [network.string(), readUuid(network)]);
  reader.end();
  return { number, domain, message, int1 };
}
