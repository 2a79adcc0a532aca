/** What a guest's agent tells, as text for a terminal. A guest's words may be anything: nothing is taken for granted. Pure. */
import { columns, printable, size } from "./table.ts";

type Fields = Readonly<Record<string, unknown>>;

export type GuestList = "guestosinfo" | "userlist" | "fslist";

/** Ends with a line break. */
export function guestTable(list: GuestList, answer: unknown): string {
  const lines = list === "guestosinfo" ? systemLines(fields(answer)) : listLines(list, items(answer));
  return `${lines.map(printable).join("\n")}\n`;
}

function systemLines(info: Fields): readonly string[] {
  const os = fields(info["os"]);
  const commands = Array.isArray(info["supportedCommands"]) ? info["supportedCommands"].length : 0;
  const rows = [
    ["System", text(os["prettyName"] ?? os["name"])],
    ["Kernel", [os["kernelRelease"], os["machine"]].filter(Boolean).map(text).join(" ")],
    ["Host name", text(info["hostname"])],
    ["Time zone", text(info["timezone"])],
    ["Agent", `${text(info["guestAgentVersion"])}, ${commands} commands`],
    ["File systems", text(info["fsFreezeStatus"])],
  ];
  return columns(rows.map(([name = "", value = ""]) => [`${name}:`, value || "-"]));
}

function listLines(list: "userlist" | "fslist", rows: readonly Fields[]): readonly string[] {
  if (rows.length === 0)
    return [
      list === "userlist" ? "Nobody is logged in, as far as the guest tells." : "No file system is mounted.",
    ];
  if (list === "userlist")
    return columns([
      ["USER", "DOMAIN", "SINCE"],
      ...rows.map((row) => [text(row["userName"]), text(row["domain"]) || "-", timeOf(row["loginTime"])]),
    ]);
  return columns([
    ["MOUNTED ON", "DISK", "TYPE", "SIZE", "USED", "USED %"],
    ...rows.map((row) => [
      text(row["mountPoint"]),
      text(row["diskName"]),
      text(row["fileSystemType"]),
      size(number(row["totalBytes"])),
      size(number(row["usedBytes"])),
      number(row["totalBytes"]) === 0
        ? "-"
        : `${Math.round((number(row["usedBytes"]) / number(row["totalBytes"])) * 100)} %`,
    ]),
  ]);
}

/** Seconds since the epoch, as KubeVirt has them. */
function timeOf(seconds: unknown): string {
  const value = number(seconds);
  // The largest time that JavaScript has.
  return value > 0 && value < 8.64e12 ? new Date(value * 1000).toISOString() : "-";
}

function items(answer: unknown): readonly Fields[] {
  const list = fields(answer)["items"];
  return Array.isArray(list) ? list.map(fields) : [];
}

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function number(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
