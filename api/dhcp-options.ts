/** `spec.domain.devices.interfaces[].dhcpOptions`: what the guest is told by DHCP beyond its network. */
import { Type } from "typebox";
import { type Data, list, listByKey, object } from "./schema.ts";

/** The codes that RFC 3942 leaves to a site, 255 being the end of a message. */
export const FIRST_PRIVATE_OPTION = 224;
export const LAST_PRIVATE_OPTION = 254;

/** With these and the rest of a lease, a reply still fits into one Ethernet frame; in characters. */
const MAX_PRIVATE_CHARACTERS = 768;

const privateOptionSchema = object({
  option: Type.Integer({
    minimum: FIRST_PRIVATE_OPTION,
    maximum: LAST_PRIVATE_OPTION,
    format: "int32",
    description: "Code of the option, 224 to 254.",
  }),
  value: Type.String({ minLength: 1, maxLength: 255, description: "Its value, as UTF-8." }),
});

export const dhcpOptionsSchema = object(
  {
    bootFileName: Type.Optional(
      Type.String({
        maxLength: 255,
        pattern: "^[!-~]([ -~]*[!-~])?$",
        description:
          "File or URL that a network boot takes (option 67, and the header's file field where it has room). ASCII.",
      }),
    ),
    tftpServerName: Type.Optional(
      Type.String({
        maxLength: 253,
        pattern: "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$",
        description:
          "Host name or IPv4 address of the server that has it (option 66 and the header's sname field; an address also as the next server, without which most firmware takes no file).",
      }),
    ),
    ntpServers: Type.Optional(
      list(Type.String({ format: "ipv4", maxLength: 15 }), {
        maxItems: 16,
        description: "IPv4 addresses of NTP servers (option 42).",
      }),
    ),
    privateOptions: Type.Optional(
      listByKey(privateOptionSchema, "option", {
        maxItems: LAST_PRIVATE_OPTION - FIRST_PRIVATE_OPTION + 1,
        description: "Options of your own, each code once, sent whether the guest asks for them or not.",
      }),
    ),
  },
  {
    description: "What the guest is told by DHCP beyond its network. Sent whether it asks for it or not.",
    rules: [
      {
        rule: `!has(self.privateOptions) || self.privateOptions.map(it, size(it.value)).sum() <= ${MAX_PRIVATE_CHARACTERS}`,
        message: `privateOptions hold more than ${MAX_PRIVATE_CHARACTERS} characters, which no DHCP message has room for`,
        fieldPath: ".privateOptions",
      },
    ],
  },
);

export type DhcpOptions = Data<typeof dhcpOptionsSchema>;
