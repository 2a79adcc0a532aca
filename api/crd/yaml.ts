/** The CRDs as YAML files, byte for byte as they are committed. */
import { stringify } from "yaml";
import { crdFiles } from "./definitions.ts";

const HEADER = "# Made by api/crd/generate.ts from the schemas in api/. Edit those.\n";

/** File name → content. */
export function crdYaml(): ReadonlyMap<string, string> {
  return new Map(
    crdFiles().map(({ fileName, definition }) => [
      fileName,
      HEADER + stringify(definition, { aliasDuplicateObjects: false, lineWidth: 0 }),
    ]),
  );
}

/** Folders, below the repository's root, that hold the CRDs: the sources and the chart's copy. */
export const CRD_FOLDERS = ["crds", "charts/virtpod/files/crds"] as const;
