/** XML as data: elements of attributes and children, and the one place that escapes them. */

export interface Element {
  readonly name: string;
  /** In this order; an attribute that is undefined is left out. */
  readonly attributes: Readonly<Record<string, string | number | undefined>>;
  readonly children: readonly Child[];
}

/** Text, an element, or nothing: so that a condition can stand where a child does. */
export type Child = Element | string | number | undefined;

export class XmlError extends Error {
  override readonly name = "XmlError";
  readonly code = "XmlCharacter";
}

export function element(
  name: string,
  attributes: Element["attributes"] = {},
  ...children: readonly Child[]
): Element {
  return { name, attributes, children };
}

/** @throws XmlError a character that XML 1.0 can't hold in any form (section 2.2) */
export function render(root: Element, indent = ""): string {
  const attributes = Object.entries(root.attributes)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}="${escapeXml(String(value))}"`)
    .join("");
  const children = root.children.filter((child) => child !== undefined);
  if (children.length === 0) return `${indent}<${root.name}${attributes}/>\n`;
  if (children.some((child) => typeof child !== "object")) {
    const text = children.map((child) =>
      typeof child === "object" ? render(child).trim() : escapeXml(String(child)),
    );
    return `${indent}<${root.name}${attributes}>${text.join("")}</${root.name}>\n`;
  }
  const inner = children
    .map((child) => (typeof child === "object" ? render(child, `${indent}  `) : ""))
    .join("");
  return `${indent}<${root.name}${attributes}>\n${inner}${indent}</${root.name}>\n`;
}

/** Line breaks and tabs as references, or the parser would make spaces of them in an attribute (section 3.3.3). */
const REFERENCES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
  "\t": "&#9;",
  "\n": "&#10;",
  "\r": "&#13;",
};

/** What section 2.2 leaves out: controls, lone surrogates, U+FFFE and U+FFFF. */
const FORBIDDEN = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u;

function escapeXml(text: string): string {
  const forbidden = FORBIDDEN.exec(text);
  if (forbidden !== null) {
    const point = forbidden[0].codePointAt(0)?.toString(16).padStart(4, "0");
    throw new XmlError(`${JSON.stringify(text)} contains U+${point}, which XML can't hold`);
  }
  return text.replace(/[&<>"'\t\n\r]/g, (character) => REFERENCES[character] ?? character);
}
