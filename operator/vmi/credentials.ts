/** `spec.accessCredentials` → LaunchAccessCredentials; pure. */
import type { AccessCredential } from "../../api/access-credentials.ts";
import type { LaunchAccessCredential } from "../../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../../api/names.ts";

/** In the spec's order: each one's Secret is mounted in a folder that is named by its number. */
export function resolveCredentials(credentials: readonly AccessCredential[] = []): LaunchAccessCredential[] {
  return credentials.map(({ sshPublicKey }, index) => {
    const directory = `${LAUNCHER_PATHS.credentials}/${index}`;
    if (sshPublicKey === undefined) return { kind: "userPassword", directory, propagation: "qemuGuestAgent" };
    const { qemuGuestAgent, configDrive } = sshPublicKey.propagationMethod;
    const cloudInit = configDrive === undefined ? "noCloud" : "configDrive";
    return {
      kind: "sshPublicKey",
      directory,
      propagation: qemuGuestAgent === undefined ? cloudInit : "qemuGuestAgent",
      users: [...(qemuGuestAgent?.users ?? [])],
    };
  });
}
