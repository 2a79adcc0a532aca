/** Failures of libvirt, of its daemon and of the conversation with it, by stable codes. */

export type LibvirtErrorCode =
  /** No daemon, or the connection was lost: whether an outstanding call was done is unknown. */
  | "LibvirtUnavailable"
  /** The daemon didn't answer within the call's deadline: whether it was done is unknown. */
  | "LibvirtTimeout"
  /** The peer broke the protocol, or a reply has a layout that this client doesn't know. */
  | "LibvirtProtocol"
  /** The reply was longer than this side takes: it is lost, the connection is not. */
  | "LibvirtReplyTooLong"
  | "LibvirtStart"
  | "DomainNotFound"
  | "DomainExists"
  | "DomainStateInvalid"
  | "DomainXmlInvalid"
  | "ConfigurationUnsupported"
  | "LibvirtBusy"
  | "LibvirtAccessDenied"
  | "LibvirtInvalidArgument"
  | "LibvirtSystem"
  | "LibvirtInternal"
  /** No guest agent has the channel open, or libvirtd has given it up for a broken one. */
  | "GuestAgentUnresponsive"
  /** The guest agent gave no answer within the command's deadline. */
  | "GuestAgentTimeout"
  /** The guest agent refused the command. */
  | "GuestAgentCommandFailed"
  | "LibvirtOperationFailed";

/** What libvirtd says of a failed call (`remote_error`). */
export interface LibvirtErrorRecord {
  /** virErrorNumber. */
  readonly number: number;
  /** virErrorDomain: the part of libvirt that failed; a hint only. */
  readonly domain: number;
  readonly message: string;
  /** Often errno, with number 38. */
  readonly int1: number;
}

/** virErrorNumber → code; whatever is not listed is `LibvirtOperationFailed`. */
const CODES: Readonly<Record<number, LibvirtErrorCode>> = {
  1: "LibvirtInternal",
  8: "LibvirtInvalidArgument",
  74: "LibvirtInvalidArgument",
  27: "DomainXmlInvalid",
  35: "DomainXmlInvalid",
  92: "DomainXmlInvalid",
  29: "LibvirtAccessDenied",
  88: "LibvirtAccessDenied",
  38: "LibvirtSystem",
  39: "LibvirtProtocol",
  42: "DomainNotFound",
  28: "DomainExists",
  55: "DomainStateInvalid",
  67: "ConfigurationUnsupported",
  84: "ConfigurationUnsupported",
  68: "LibvirtBusy",
  87: "LibvirtBusy",
  86: "GuestAgentUnresponsive",
  112: "GuestAgentTimeout",
  113: "GuestAgentCommandFailed",
};

export class LibvirtError extends Error {
  override readonly name = "LibvirtError";
  readonly code: LibvirtErrorCode;
  /** Present when libvirtd itself refused. */
  readonly record?: LibvirtErrorRecord;

  constructor(
    code: LibvirtErrorCode,
    message: string,
    options: ErrorOptions & { readonly record?: LibvirtErrorRecord } = {},
  ) {
    super(message, options);
    this.code = code;
    if (options.record !== undefined) this.record = options.record;
  }

  /** @param call what was asked, e.g. `domain create` */
  static fromRecord(call: string, record: LibvirtErrorRecord): LibvirtError {
    const code = CODES[record.number] ?? "LibvirtOperationFailed";
    return new LibvirtError(code, `${call}: libvirt refused: ${record.message}`, { record });
  }
}
