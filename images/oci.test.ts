import assert from "node:assert/strict";
import { test } from "node:test";
import { archiveFiles, blobPath, digestOf, image, type Layer } from "./oci.ts";

const created = new Date("2025-08-09T00:00:00Z");
const layers: Layer[] = [
  { digest: digestOf(Buffer.from("below")), size: 5, createdBy: "base" },
  { digest: digestOf(Buffer.from("above")), size: 5, createdBy: "bundle" },
];

function read(files: ReadonlyMap<string, Buffer>, path: string): Record<string, unknown> {
  const bytes = files.get(path);
  assert.ok(bytes, `${path} is in the archive`);
  return JSON.parse(bytes.toString());
}

test("a digest is the SHA-256 of the bytes", () => {
  const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  assert.equal(digestOf(new Uint8Array()), empty);
});

test("every document's descriptor tells its digest and size", () => {
  const { config, manifest } = image(layers, {}, created);
  for (const { descriptor, bytes } of [config, manifest]) {
    assert.equal(descriptor.digest, digestOf(bytes));
    assert.equal(descriptor.size, bytes.length);
  }
});

test("manifest and configuration name the same layers in the same order, lowest first", () => {
  const { config, manifest } = image(layers, {}, created);
  const { rootfs } = JSON.parse(config.bytes.toString());
  const { layers: listed } = JSON.parse(manifest.bytes.toString());
  const digests = layers.map(({ digest }) => digest);
  assert.deepEqual(rootfs, { type: "layers", diff_ids: digests });
  assert.deepEqual(
    listed.map(({ digest }: { digest: string }) => digest),
    digests,
  );
});

test("the same inputs give the same image, and another layer gives another", () => {
  const digest = (from: readonly Layer[]) => image(from, {}, created).manifest.descriptor.digest;
  assert.equal(digest(layers), digest([...layers]));
  assert.notEqual(digest(layers), digest(layers.slice(0, 1)));
});

test("the configuration carries the runtime in the words of the image specification", () => {
  const runtime = {
    entrypoint: ["/usr/bin/tini", "--"],
    command: ["run"],
    user: "107:107",
    environment: { PATH: "/usr/bin", LANG: "C.UTF-8" },
    workingDirectory: "/",
    labels: { a: "b" },
  };
  const { config } = image(layers, runtime, created);
  assert.deepEqual(JSON.parse(config.bytes.toString()).config, {
    User: "107:107",
    Env: ["PATH=/usr/bin", "LANG=C.UTF-8"],
    Entrypoint: ["/usr/bin/tini", "--"],
    Cmd: ["run"],
    WorkingDir: "/",
    Labels: { a: "b" },
  });
});

test("an archive leads from its index to the manifest and the configuration", () => {
  const built = image(layers, {}, created);
  const files = archiveFiles(built, "localhost:5000/virtpod/virtpod:dev");
  const index = read(files, "index.json");
  const [entry] = index["manifests"] as { digest: `sha256:${string}`; annotations: Record<string, string> }[];
  assert.ok(entry);
  assert.equal(entry.annotations["io.containerd.image.name"], "localhost:5000/virtpod/virtpod:dev");
  assert.equal(entry.annotations["org.opencontainers.image.ref.name"], "dev");
  const manifest = read(files, blobPath(entry.digest));
  const config = manifest["config"] as { digest: `sha256:${string}` };
  assert.ok(files.has(blobPath(config.digest)));
});

test("what docker load reads names the same blobs", () => {
  const built = image(layers, {}, created);
  const files = archiveFiles(built, "localhost/virtpod/virtpod:dev");
  const docker = JSON.parse(files.get("manifest.json")?.toString() ?? "");
  assert.deepEqual(docker, [
    {
      Config: blobPath(built.config.descriptor.digest),
      RepoTags: ["localhost/virtpod/virtpod:dev"],
      Layers: layers.map(({ digest }) => blobPath(digest)),
    },
  ]);
});
