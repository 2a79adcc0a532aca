/**
 * Pushes the built images to a registry: `node images/push.ts REGISTRY [--insecure]` copies each
 * `build/images/NAME.tar` to `REGISTRY/NAME:TAG`, its layers compressed, with the tag that it was built with.
 * `--insecure` allows plain HTTP.
 * Credentials are those that `skopeo login` or `docker login` left.
 */
import { existsSync } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { run } from "./process.ts";
import { type ImageName, onDemand, runtimes } from "./recipes.ts";
import { needTools } from "./tools.ts";

const output = join(import.meta.dirname, "../build/images");

/** skopeo's arguments that copy an archive to a registry. */
export function copyArguments(file: string, target: string, insecure: boolean): string[] {
  const tls = insecure ? ["--dest-tls-verify=false"] : [];
  const format = ["--format=oci", "--dest-compress-format=zstd"];
  return ["copy", "--quiet", ...format, ...tls, `oci-archive:${file}`, `docker://${target}`];
}

/**
 * The tag that an archive's index names.
 *
 * @throws Error when it names none
 */
export function tagOf(index: string): string {
  const { manifests } = JSON.parse(index) as { manifests: { annotations?: Record<string, string> }[] };
  const tag = manifests[0]?.annotations?.["org.opencontainers.image.ref.name"];
  if (tag === undefined)
    throw new Error("the archive's index names no tag: build it again with `make images`");
  return tag;
}

async function push(registry: string, insecure: boolean): Promise<void> {
  await needTools(["skopeo"]);
  for (const name of Object.keys(runtimes) as ImageName[]) {
    const file = join(output, `${name}.tar`);
    if (onDemand.includes(name) && !existsSync(file)) continue;
    await access(file).catch((cause: unknown) => {
      throw new Error(`${file} does not exist: run \`make images\` first`, { cause });
    });
    const tag = tagOf(await run("tar", ["-xOf", file, "index.json"]));
    const target = `${registry.replace(/\/+$/, "")}/${name}:${tag}`;
    await run("skopeo", copyArguments(file, target, insecure));
    console.log(target);
  }
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { insecure: { type: "boolean", default: false } },
  });
  const [registry] = positionals;
  if (registry === undefined || registry === "") {
    console.error("say where to push: make push REGISTRY=registry.example/virtpod");
    process.exit(2);
  }
  try {
    await push(registry, values.insecure);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
