/** The one program of the launcher's image that is neither Debian's nor a bundle. */
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import { type LayerFile, layer } from "../layer.ts";
import { run } from "../process.ts";
import { needTools } from "../tools.ts";

export async function probeLayer(): Promise<LayerFile> {
  const source = join(import.meta.dirname, "probe.c");
  const { probe, probeSocket } = LAUNCHER_PATHS;
  const flags = ["-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", `-DPROBE_SOCKET="${probeSocket}"`];
  const recipe = { source: await readFile(source, "utf8"), flags, probe };
  return layer("probe", "virtpod-probe", recipe, async (root) => {
    await needTools(["musl-gcc"]);
    const program = join(root, probe);
    const licences = join(root, "usr/share/doc/musl");
    await mkdir(dirname(program), { recursive: true });
    await mkdir(licences, { recursive: true });
    await run("musl-gcc", [...flags, "-o", program, source]);
    // Its C library is in it.
    await copyFile("/usr/share/doc/musl-dev/copyright", join(licences, "copyright"));
  });
}
