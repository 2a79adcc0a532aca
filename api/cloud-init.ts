/** The cloud-init volumes: user data and network data, inline or in a Secret. */
import { Type } from "typebox";
import { type Data, object, objectName, type Rule } from "./schema.ts";

/** KubeVirt's limit on user data and network data that stand in the VM itself, in bytes. */
export const CLOUD_INIT_INLINE_MAX_BYTES = 2048;

/** Base64 of so many bytes, and some room for line ends, which its decoders skip. */
const BASE64_MAX_CHARACTERS = 2900;

const inline = (field: string, secret: string, description: string) =>
  Type.String({
    minLength: 1,
    maxLength: CLOUD_INIT_INLINE_MAX_BYTES,
    description: `${description} At most 2048 bytes; more fit into a Secret (${secret}).`,
    "x-kubernetes-validations": [
      {
        // maxLength counts characters.
        rule: `bytes(self).size() <= ${CLOUD_INIT_INLINE_MAX_BYTES}`,
        message: `${field} is longer than 2048 bytes: put it into a Secret and name that as ${secret}`,
      },
    ],
  });

const base64 = (secret: string, description: string) =>
  Type.String({
    minLength: 1,
    maxLength: BASE64_MAX_CHARACTERS,
    pattern: "^[A-Za-z0-9+/\\r\\n]*={0,2}[\\r\\n]*$",
    description: `${description}, in Base64. At most 2048 bytes when decoded; more fit into a Secret (${secret}).`,
  });

const secretRef = (description: string) =>
  object({ name: objectName("Name of the Secret.") }, { description });

const atMostOne = (fields: readonly string[], message: string): Rule => ({
  rule: `[${fields.map((field) => `has(self.${field})`).join(", ")}].filter(present, present).size() <= 1`,
  message,
});

const USER_DATA = ["userData", "userDataBase64", "secretRef"];
const NETWORK_DATA = ["networkData", "networkDataBase64", "networkDataSecretRef"];

function cloudInit(description: string) {
  return object(
    {
      userData: Type.Optional(inline("userData", "secretRef", "User data, e.g. #cloud-config.")),
      userDataBase64: Type.Optional(base64("secretRef", "User data")),
      secretRef: Type.Optional(
        secretRef("Secret in the VM's namespace with the user data in its key userdata or userData."),
      ),
      networkData: Type.Optional(inline("networkData", "networkDataSecretRef", "Network configuration.")),
      networkDataBase64: Type.Optional(base64("networkDataSecretRef", "Network configuration")),
      networkDataSecretRef: Type.Optional(
        secretRef(
          "Secret in the VM's namespace with the network configuration in its key networkdata or networkData.",
        ),
      ),
    },
    {
      description,
      rules: [
        atMostOne(USER_DATA, "user data has one source: userData, userDataBase64 or secretRef"),
        atMostOne(
          NETWORK_DATA,
          "network data has one source: networkData, networkDataBase64 or networkDataSecretRef",
        ),
        {
          rule: [...USER_DATA, ...NETWORK_DATA].map((field) => `has(self.${field})`).join(" || "),
          message: "cloud-init needs user data or network data",
          reason: "FieldValueRequired",
        },
      ],
    },
  );
}

export const cloudInitNoCloudSchema = cloudInit(
  "Data for cloud-init's data source NoCloud, on an ISO image labelled cidata.",
);

export const cloudInitConfigDriveSchema = cloudInit(
  "Data for cloud-init's data source ConfigDrive, on an ISO image labelled config-2.",
);

export type CloudInit = Data<typeof cloudInitNoCloudSchema>;
