/** dhcpOptions for validation.cluster.test.ts. */
import { type Change, DOMAIN } from "./validation.fixture.ts";

const DHCP = [...DOMAIN, "devices", "interfaces", 0, "dhcpOptions"] as const;
const FIELD = "spec.template.spec.domain.devices.interfaces[0].dhcpOptions";

export const acceptedDhcp: Readonly<Record<string, readonly Change[]>> = {
  "dhcpOptions with all there are": [
    [
      DHCP,
      {
        bootFileName: "http://192.0.2.9/a file.efi",
        tftpServerName: "tftp.example",
        ntpServers: ["192.0.2.123", "192.0.2.124"],
        privateOptions: [
          { option: 224, value: "ä" },
          { option: 254, value: "x".repeat(255) },
        ],
      },
    ],
  ],
  "dhcpOptions that say nothing": [[DHCP, {}]],
};

export const refusedDhcp: readonly (readonly [string, readonly Change[], string, RegExp])[] = [
  [
    "a private option below 224",
    [[DHCP, { privateOptions: [{ option: 223, value: "x" }] }]],
    `${FIELD}.privateOptions[0].option`,
    /greater than or equal to 224/,
  ],
  [
    "a private option above 254",
    [[DHCP, { privateOptions: [{ option: 255, value: "x" }] }]],
    `${FIELD}.privateOptions[0].option`,
    /less than or equal to 254/,
  ],
  [
    "a private option without a value",
    [[DHCP, { privateOptions: [{ option: 224 }] }]],
    `${FIELD}.privateOptions[0].value`,
    /Required/,
  ],
  [
    "a private option of no length",
    [[DHCP, { privateOptions: [{ option: 224, value: "" }] }]],
    `${FIELD}.privateOptions[0].value`,
    /at least 1/,
  ],
  [
    "a private option twice",
    [
      [
        DHCP,
        {
          privateOptions: [
            { option: 224, value: "x" },
            { option: 224, value: "y" },
          ],
        },
      ],
    ],
    `${FIELD}.privateOptions[1]`,
    /Duplicate/,
  ],
  [
    "more private options than a message holds",
    [
      [
        DHCP,
        {
          privateOptions: [224, 225, 226, 227].map((option) => ({ option, value: "x".repeat(200) })),
        },
      ],
    ],
    `${FIELD}.privateOptions`,
    /more than 768 characters/,
  ],
  [
    "an NTP server by name",
    [[DHCP, { ntpServers: ["192.0.2.123", "ntp.example"] }]],
    `${FIELD}.ntpServers[1]`,
    /ipv4/,
  ],
  ["an IPv6 NTP server", [[DHCP, { ntpServers: ["2001:db8::1"] }]], `${FIELD}.ntpServers[0]`, /ipv4/],
  ["a boot file of no name", [[DHCP, { bootFileName: "" }]], `${FIELD}.bootFileName`, /should match/],
  ["a boot file with a newline", [[DHCP, { bootFileName: "a\nb" }]], `${FIELD}.bootFileName`, /should match/],
  [
    "a boot file name that one option can't hold",
    [[DHCP, { bootFileName: "x".repeat(256) }]],
    `${FIELD}.bootFileName`,
    /Too long|longer than 255/,
  ],
  [
    "a TFTP server that is a URL",
    [[DHCP, { tftpServerName: "tftp://192.0.2.9" }]],
    `${FIELD}.tftpServerName`,
    /should match/,
  ],
];
