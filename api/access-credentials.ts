/** `spec.accessCredentials[]`: keys and passwords that the guest is given. */
import { Type } from "typebox";
import { type Data, list, object, objectName } from "./schema.ts";

const sourceSchema = (description: string) =>
  object(
    {
      secret: object({ secretName: objectName("Name of a Secret in the VM's namespace.") }, { description }),
    },
    { description: "Where they are." },
  );

const nothing = (description: string) => Type.Optional(object({}, { description }));

const userName = Type.String({ minLength: 1, maxLength: 64, pattern: "^[^:/\\s]+$" });

const sshPublicKeySchema = object(
  {
    source: sourceSchema("Secret of which each value is a list of public keys."),
    propagationMethod: object(
      {
        noCloud: nothing("By cloud-init, when it first runs: the VM needs a cloudInitNoCloud volume."),
        configDrive: nothing(
          "By cloud-init, when it first runs: the VM needs a cloudInitConfigDrive volume.",
        ),
        qemuGuestAgent: Type.Optional(
          object(
            {
              users: list(userName, {
                minItems: 1,
                maxItems: 32,
                description: "Users whose authorized keys are set.",
              }),
            },
            { description: "By the guest agent, also while the guest runs." },
          ),
        ),
      },
      {
        description: "How the keys get into the guest.",
        rules: [
          {
            rule: "[has(self.noCloud), has(self.configDrive), has(self.qemuGuestAgent)].filter(present, present).size() == 1",
            message: "a key has one way into the guest: noCloud, configDrive or qemuGuestAgent",
          },
        ],
      },
    ),
  },
  { description: "Public SSH keys." },
);

const userPasswordSchema = object(
  {
    source: sourceSchema("Secret of which each key is a user's name and its value the password."),
    propagationMethod: object(
      {
        qemuGuestAgent: object({}, { description: "By the guest agent, also while the guest runs." }),
      },
      { description: "How the passwords get into the guest." },
    ),
  },
  { description: "Passwords of users." },
);

export const accessCredentialSchema = object(
  {
    sshPublicKey: Type.Optional(sshPublicKeySchema),
    userPassword: Type.Optional(userPasswordSchema),
  },
  {
    rules: [
      {
        rule: "has(self.sshPublicKey) != has(self.userPassword)",
        message: "an access credential is one of sshPublicKey and userPassword",
      },
    ],
  },
);

export type AccessCredential = Data<typeof accessCredentialSchema>;

export const accessCredentialsSchema = list(accessCredentialSchema, {
  maxItems: 16,
  description: "SSH keys and passwords that the guest is given out of Secrets.",
});
