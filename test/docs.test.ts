/** What the pages say of the repository itself: links, versions, make targets, and nothing of one machine. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { access, readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { describe, test } from "node:test";
import { parse } from "yaml";
import { VERSION } from "../api/version.ts";

const ROOT = dirname(import.meta.dirname);
const read = (path: string) => readFile(join(ROOT, path), "utf8");

const pages = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "*.md"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((path) => path !== "");

interface Link {
  readonly page: string;
  readonly target: string;
}

/** Links to elsewhere in the repository. Code is no prose: what looks like a link in it is none. */
async function relativeLinks(page: string): Promise<Link[]> {
  const targets = [...withoutCode(await read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(
    ([, target = ""]) => target,
  );
  return targets.filter((target) => !/^[a-z]+:/.test(target)).map((target) => ({ page, target }));
}

function withoutCode(markdown: string): string {
  return markdown.replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, "``");
}

/** Anchors of a page's headings, as the usual renderers make them. */
function anchorsOf(markdown: string): Set<string> {
  const headings = markdown.replace(/^```[\s\S]*?^```/gm, "").matchAll(/^#{1,6} (.+)$/gm);
  return new Set(
    [...headings].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replace(/[^\p{Letter}\p{Number} _-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

describe("every relative link leads somewhere", () => {
  for (const page of pages) {
    test(page, async () => {
      for (const { target } of await relativeLinks(page)) {
        const [path = "", anchor] = target.split("#");
        const file = path === "" ? page : normalize(join(dirname(page), path));
        await assert.doesNotReject(access(join(ROOT, file)), `${page} links to ${target}: no such file`);
        if (anchor === undefined || !file.endsWith(".md")) continue;
        assert.ok(anchorsOf(await read(file)).has(anchor), `${page} links to ${target}: no such heading`);
      }
    });
  }
});

test("every page in docs/ is linked from README.md", async () => {
  const linked = new Set((await relativeLinks("README.md")).map(({ target }) => target.split("#")[0]));
  const orphans = pages.filter((page) => page.startsWith("docs/") && !linked.has(page));
  assert.deepEqual(orphans, []);
});

test("package, chart and programs carry the same version", async () => {
  const chart = parse(await read("charts/virtpod/Chart.yaml")) as { version: string; appVersion: string };
  const { version } = JSON.parse(await read("package.json")) as { version: string };
  assert.deepEqual([version, chart.version, chart.appVersion], [VERSION, VERSION, VERSION]);
  assert.match(await read("CHANGELOG.md"), new RegExp(`^## ${VERSION.replaceAll(".", "\\.")}\\b`, "m"));
});

test("every make target that a page names exists", async () => {
  const makefile = await read("Makefile");
  const targets = new Set([...makefile.matchAll(/^([a-z][a-z0-9-]*):/gm)].map(([, target]) => target));
  for (const page of pages) {
    for (const [, target] of (await read(page)).matchAll(/(?:`|^|\$ )make ([a-z][a-z0-9-]*)/gm)) {
      assert.ok(targets.has(target), `${page} names make ${target}`);
    }
  }
});

test("every file that a page names in backquotes exists, below the root or beside the page", async () => {
  const folders =
    "agent|api|bench|charts|cli|cluster|crds|docs|examples|images|kube|launcher|lib|operator|test|transport";
  const named = new RegExp(`\`((?:${folders})/[A-Za-z0-9_./-]*)\``, "g");
  for (const page of pages) {
    for (const [, path = ""] of (await read(page)).matchAll(named)) {
      const found = await Promise.any(["", dirname(page)].map((base) => access(join(ROOT, base, path)))).then(
        () => true,
        () => false,
      );
      assert.ok(found, `${page} names ${path}`);
    }
  }
});

describe("every code of an error is explained in docs/troubleshooting.md", () => {
  for (const source of [
    "agent/errors.ts",
    "agent/network/errors.ts",
    "launcher/errors.ts",
    "launcher/guest-agent/errors.ts",
    "launcher/libvirt/errors.ts",
    "operator/errors.ts",
    "transport/errors.ts",
  ]) {
    test(source, async () => {
      const codes = [...(await read(source)).matchAll(/^ {2}\| "([A-Za-z]+)"/gm)].map(
        ([, code = ""]) => code,
      );
      assert.ok(codes.length > 0, "no codes found");
      const page = await read("docs/troubleshooting.md");
      assert.deepEqual(
        codes.filter((code) => !page.includes(`\`${code}\``)),
        [],
      );
    });
  }
});

describe("every reason that the operator writes is explained in docs/", () => {
  for (const source of [
    "operator/vm/status.ts",
    "operator/vmi/status.ts",
    "operator/vmi/controller.ts",
    "operator/vmi/claims.ts",
    "operator/vmi/guest-agent.ts",
    "operator/vmi/claim-conflict.ts",
  ]) {
    test(source, async () => {
      const text = `${await read("docs/troubleshooting.md")}${await read("docs/lifecycle.md")}`;
      const reasons = [...(await read(source)).matchAll(/reason: "([A-Z][A-Za-z]+)"/g)].map(
        ([, reason = ""]) => reason,
      );
      const known = ["LiveMigrationNotSupported", "SuccessfulCreate"];
      assert.deepEqual(
        reasons.filter((reason) => !known.includes(reason) && !text.includes(`\`${reason}\``)),
        [],
      );
    });
  }
});

/** Where the transcript of docs/quickstart.md has its checkout. */
const EXAMPLE_CHECKOUT = "/root/virtpod";

test("no page names a folder of the machine that it was written on", async () => {
  for (const page of pages) {
    const text = (await read(page)).replaceAll(EXAMPLE_CHECKOUT, "");
    assert.ok(!text.includes(`${ROOT}/`), `${page} names ${ROOT}`);
    assert.doesNotMatch(text, /(?<![\w./-])\/(?:home|root|Users)\/\w/, page);
  }
});
