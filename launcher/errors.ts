/** Errors of the launcher: each becomes the end of a domain or the answer to a request, by its stable code. */
import { CodedError } from "../lib/coded-error.ts";

export type LauncherErrorCode =
  | "LaunchSpecInvalid"
  | "LaunchSpecVersion"
  | "AgentUnreachable"
  | "CpusNotDedicated"
  | "ImageNotFound"
  | "ImageAmbiguous"
  | "ImageOutsideVolume"
  | "ImageFormat"
  | "ImageBackingFile"
  | "ImageDataFile"
  | "ImageEncrypted"
  | "ImageTooLarge"
  | "ImageDamaged"
  | "DiskCreation"
  | "DiskNotFound"
  | "DiskAccess"
  | "DiskNoRoom"
  | "DiskTooLarge"
  | "SecretKeyMissing"
  | "SysprepMissing"
  | "ConsoleUnavailable"
  | "VncUnavailable"
  | "LibvirtUnavailable"
  | "LibvirtStart"
  | "TpmStart"
  | "DomainCreation";

export class LauncherError extends CodedError<LauncherErrorCode> {
  override readonly name = "LauncherError";
}

/** The stable code and the sentence of anything thrown: errors of other modules carry a `code` of their own. */
export function describeError(error: unknown): { readonly code: string; readonly message: string } {
  if (!(error instanceof Error)) return { code: "Internal", message: String(error) };
  const { code } = error as { code?: unknown };
  return { code: typeof code === "string" && code !== "" ? code : "Internal", message: error.message.trim() };
}
