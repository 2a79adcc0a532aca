/** Which keys and passwords the guest agent is to set, out of the mounted Secrets. Pure. */
import type { LaunchAccessCredential } from "../../api/launch-spec.ts";

/** One key of a mounted Secret. */
export interface SecretFile {
  readonly name: string;
  readonly text: string;
}

export interface CredentialPlan {
  /** By user: all of their authorized keys. */
  readonly keys: Readonly<Record<string, readonly string[]>>;
  /** By user. */
  readonly passwords: Readonly<Record<string, string>>;
}

/** Those that the guest agent propagates; cloud-init has the others. */
export function agentCredentials(
  credentials: readonly LaunchAccessCredential[],
): readonly LaunchAccessCredential[] {
  return credentials.filter(({ propagation }) => propagation === "qemuGuestAgent");
}

/** @param secrets the files of each credential's directory, in the credentials' order */
export function planCredentials(
  credentials: readonly LaunchAccessCredential[],
  secrets: readonly (readonly SecretFile[])[],
): CredentialPlan {
  const keys = new Map<string, string[]>();
  const passwords = new Map<string, string>();
  credentials.forEach((credential, i) => {
    const files = secrets[i] ?? [];
    if (credential.kind === "userPassword") {
      for (const { name, text } of files) passwords.set(name, text.trim());
      return;
    }
    const added = files.flatMap(({ text }) => publicKeys(text));
    for (const user of credential.users) keys.set(user, [...(keys.get(user) ?? []), ...added]);
  });
  return { keys: Object.fromEntries(keys), passwords: Object.fromEntries(passwords) };
}

/** Lines of an `authorized_keys` file; the agent refuses comments. */
function publicKeys(text: string): readonly string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}
