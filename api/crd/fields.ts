/** The page docs/fields.md: what virtpod makes of every field of a KubeVirt VirtualMachine, read off the schema. */
import { ruleOf } from "./refused-fields.ts";
import { isRefused, type StructuralSchema } from "./structural-schema.ts";

export const FIELDS_PAGE = "docs/fields.md";

export type Verdict = "supported" | "not yet" | "never";

export interface Field {
  /** As in KubeVirt's API, e.g. `spec.template.spec.volumes[].name`; `[]` stands for each item of a list. */
  readonly path: string;
  readonly verdict: Verdict;
  /** What it is, or why it is refused, without Markdown. */
  readonly note: string;
  /** It goes with a field above it that is refused. */
  readonly isCovered: boolean;
  /** Kubernetes': inside of a field of KubeVirt's that has a Kubernetes type, such as `resources.limits`. */
  readonly origin: "KubeVirt" | "Kubernetes" | "virtpod";
}

interface Section {
  readonly title: string;
  /** Paths below this one are in the section, unless a section with a longer prefix has them. */
  readonly prefix: string;
}

const SECTIONS: readonly Section[] = [
  { title: "VirtualMachine", prefix: "spec." },
  { title: "Metadata of the instance", prefix: "spec.template.metadata." },
  { title: "VirtualMachineInstance", prefix: "spec.template.spec." },
  { title: "Access credentials", prefix: "spec.template.spec.accessCredentials[]." },
  { title: "Domain", prefix: "spec.template.spec.domain." },
  { title: "CPU", prefix: "spec.template.spec.domain.cpu." },
  { title: "Memory", prefix: "spec.template.spec.domain.memory." },
  { title: "Resources", prefix: "spec.template.spec.domain.resources." },
  { title: "Firmware and boot", prefix: "spec.template.spec.domain.firmware." },
  { title: "Features", prefix: "spec.template.spec.domain.features." },
  { title: "Clock", prefix: "spec.template.spec.domain.clock." },
  { title: "Devices", prefix: "spec.template.spec.domain.devices." },
  { title: "Disks", prefix: "spec.template.spec.domain.devices.disks[]." },
  { title: "Interfaces", prefix: "spec.template.spec.domain.devices.interfaces[]." },
  { title: "Networks", prefix: "spec.template.spec.networks[]." },
  { title: "Volumes", prefix: "spec.template.spec.volumes[]." },
];

/** Fields whose inside is Kubernetes' own and passed on as it is. */
const PASSED_ON: readonly string[] = [
  "affinity",
  "tolerations",
  "topologySpreadConstraints",
  "nodeSelector",
  "dnsConfig",
].map((name) => `spec.template.spec.${name}`);

/** What the description of a field says that KubeVirt doesn't have. */
const OWN = "virtpod's own field";

/**
 * @param schema schema of a VirtualMachine's spec
 * @param kubevirtPaths every field of KubeVirt's, e.g. `spec.template.spec.volumes[].name`
 * @throws Error naming a field of KubeVirt's that the schema doesn't know
 */
export function fieldsOf(schema: StructuralSchema, kubevirtPaths: readonly string[]): readonly Field[] {
  const known = new Set(kubevirtPaths.flatMap(withParents));
  const theirs = [...known].map((path): Field => ({ ...fieldAt(schema, path), origin: "KubeVirt" }));
  const added = schemaPaths(schema, "spec")
    .filter((path) => !known.has(path) && !PASSED_ON.some((passed) => path.startsWith(passed)))
    .map((path) => fieldAt(schema, path));
  const own = added.filter(({ note }) => note.includes(OWN)).map(({ path }) => path);
  const isOwn = (path: string) => own.some((one) => path === one || path.startsWith(`${one}.`));
  const others = added.map(
    (field): Field => ({ ...field, origin: isOwn(field.path) ? "virtpod" : "Kubernetes" }),
  );
  return [...theirs, ...others].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** `spec.a[].b` → `spec.a[]`, `spec.a[].b`. */
function withParents(path: string): string[] {
  const segments = path.split(".");
  return segments.slice(1).map((_, index) => segments.slice(0, index + 2).join("."));
}

function fieldAt(schema: StructuralSchema, path: string): Omit<Field, "origin"> {
  let here = schema;
  for (const segment of path.split(".").slice(1)) {
    if (isRefused(here)) return { path, ...refusal(here), isCovered: true };
    const child = childOf(here, segment.replace("[]", ""));
    if (child === undefined) throw new Error(`the schema doesn't know KubeVirt's field ${path}`);
    here = child;
  }
  if (isRefused(here)) return { path, ...refusal(here), isCovered: false };
  return { path, verdict: "supported", note: noteOf(here), isCovered: false };
}

function childOf(schema: StructuralSchema, name: string): StructuralSchema | undefined {
  const node = (schema["items"] as StructuralSchema | undefined) ?? schema;
  return (node["properties"] as Record<string, StructuralSchema> | undefined)?.[name];
}

function refusal(schema: StructuralSchema): Pick<Field, "verdict" | "note"> {
  const { rule = "", message = "" } = ruleOf(schema);
  const verdict = / is not supported by virtpod yet(:|$)/.test(message) ? "not yet" : "never";
  const hint = message.split(": ").slice(1).join(": ");
  const harmless = rule === "self" ? "`true` is accepted" : rule === "!self" ? "`false` is accepted" : "";
  return { verdict, note: [harmless, hint].filter((part) => part !== "").join("; ") };
}

/** The description, and which values of KubeVirt's are refused. */
function noteOf(schema: StructuralSchema): string {
  const rules = (schema["x-kubernetes-validations"] ?? []) as readonly { rule: string }[];
  const refused = rules.flatMap(({ rule }) => /^self != '(.+)'$/.exec(rule)?.[1] ?? []);
  const description = typeof schema["description"] === "string" ? schema["description"] : "";
  return refused.length === 0
    ? description
    : `${description} Not yet: ${refused.map((value) => `\`${value}\``).join(", ")}.`;
}

function schemaPaths(schema: StructuralSchema, path: string): string[] {
  if (isRefused(schema)) return [];
  const items = schema["items"] as StructuralSchema | undefined;
  const node = items ?? schema;
  const properties = Object.entries((node["properties"] ?? {}) as Record<string, StructuralSchema>);
  return properties.flatMap(([name, child]) => {
    const below = `${path}.${name}${child["type"] === "array" && hasFields(child) ? "[]" : ""}`;
    return [below, ...schemaPaths(child, below)];
  });
}

function hasFields(list: StructuralSchema): boolean {
  return (list["items"] as StructuralSchema | undefined)?.["type"] === "object";
}

/** The page, byte for byte as it is committed. */
export function fieldsPage(fields: readonly Field[]): string {
  const theirs = fields.filter(({ origin }) => origin === "KubeVirt");
  const count = (verdict: Verdict) => theirs.filter((field) => field.verdict === verdict).length;
  return [
    "<!-- Made by api/crd/generate.ts from the schemas in api/. Edit those. -->",
    "# Fields",
    "",
    `Every field of KubeVirt's VirtualMachine (v1.9): of ${theirs.length}, virtpod supports ${count("supported")}; ` +
      `${count("not yet")} are not supported yet, ${count("never")} won't be. ` +
      "A VirtualMachineInstance's `spec` is a VirtualMachine's `spec.template.spec`.",
    "",
    "A field that isn't supported is refused by its name when it is written; none is accepted and ignored. " +
      "A refused field stands for everything in it. A field that neither knows is dropped by the API server with a warning, " +
      "or refused where the client asks for strict validation, as kubectl does.",
    "",
    ...SECTIONS.flatMap((section) => sectionLines(section, fields)),
  ].join("\n");
}

function sectionLines(section: Section, fields: readonly Field[]): string[] {
  const rows = fields.filter((field) => !field.isCovered && sectionOf(field.path) === section);
  if (rows.length === 0) return [];
  return [
    `## ${section.title}`,
    "",
    `Below \`${section.prefix.slice(0, -1)}\`:`,
    "",
    "| field | | |",
    "|---|---|---|",
    ...rows.map(
      ({ path, verdict, note, origin }) =>
        `| \`${path.slice(section.prefix.length)}\` | ${origin === "virtpod" ? "virtpod's own" : verdict} | ${cell(note)} |`,
    ),
    "",
  ];
}

function sectionOf(path: string): Section | undefined {
  return SECTIONS.filter(({ prefix }) => path.startsWith(prefix)).toSorted(
    (a, b) => b.prefix.length - a.prefix.length,
  )[0];
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ").replaceAll("<", "&lt;");
}
