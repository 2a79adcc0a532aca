/**
 * The documents of an OCI image (image-spec v1.1): configuration, manifest, index and layout, as plain
 * bytes addressed by their SHA-256. Nothing here touches a file.
 */
import { createHash } from "node:crypto";

/** `sha256:` and 64 hex digits. */
export type Digest = `sha256:${string}`;

/** Reference to a blob (image-spec, descriptor.md). */
export type Descriptor = {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly architecture: string; readonly os: string };
};

/** A layer as an uncompressed tar, so that its digest is its diff id too. */
export type Layer = {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** What the layer holds, for the image's history. */
  readonly createdBy: string;
};

/** What a container made from the image runs (image-spec, config.md, `config`). */
export type Runtime = {
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  /** `uid:gid`, numeric: Pod Security's runAsNonRoot cannot judge a name. */
  readonly user?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
  readonly labels?: Readonly<Record<string, string>>;
};

/** A small JSON document that belongs to an image, and the descriptor that points at it. */
export type Document = { readonly descriptor: Descriptor; readonly bytes: Buffer };

export type Image = {
  readonly config: Document;
  readonly manifest: Document;
  readonly layers: readonly Layer[];
};

const mediaTypes = {
  config: "application/vnd.oci.image.config.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
} as const;

const platform = { architecture: "amd64", os: "linux" } as const;

export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function document(mediaType: string, value: unknown): Document {
  const bytes = Buffer.from(JSON.stringify(value));
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

/**
 * Stacks layers, lowest first, into an image.
 *
 * @param created time written into the configuration; the same inputs then always give the same digest
 */
export function image(layers: readonly Layer[], runtime: Runtime, created: Date): Image {
  const stamp = created.toISOString();
  const config = document(mediaTypes.config, {
    created: stamp,
    ...platform,
    config: {
      ...(runtime.user !== undefined && { User: runtime.user }),
      ...(runtime.environment && { Env: Object.entries(runtime.environment).map(([k, v]) => `${k}=${v}`) }),
      ...(runtime.entrypoint && { Entrypoint: runtime.entrypoint }),
      ...(runtime.command && { Cmd: runtime.command }),
      ...(runtime.workingDirectory !== undefined && { WorkingDir: runtime.workingDirectory }),
      ...(runtime.labels && { Labels: runtime.labels }),
    },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.digest) },
    history: layers.map((layer) => ({ created: stamp, created_by: layer.createdBy })),
  });
  const manifest = document(mediaTypes.manifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: config.descriptor,
    layers: layers.map(({ digest, size }) => ({ mediaType: mediaTypes.layer, digest, size })),
  });
  return { config, manifest, layers };
}

/** Path of a blob within an image layout (image-spec, image-layout.md). */
export function blobPath(digest: Digest): string {
  return `blobs/${digest.replace(":", "/")}`;
}

/**
 * Small files of an archive that holds one image: everything but the layers' blobs.
 * Besides the OCI layout it carries `manifest.json`, which older `docker load` looks for; both name the same blobs.
 *
 * @param reference full name with tag, such as `localhost/virtpod/virtpod:dev`
 */
export function archiveFiles(image: Image, reference: string): ReadonlyMap<string, Buffer> {
  const tag = reference.slice(reference.lastIndexOf(":") + 1);
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [
      {
        ...image.manifest.descriptor,
        platform,
        annotations: {
          // containerd reads the first name, everything else the second.
          "io.containerd.image.name": reference,
          "org.opencontainers.image.ref.name": tag,
        },
      },
    ],
  };
  const docker = [
    {
      Config: blobPath(image.config.descriptor.digest),
      RepoTags: [reference],
      Layers: image.layers.map((layer) => blobPath(layer.digest)),
    },
  ];
  return new Map([
    ["oci-layout", Buffer.from(JSON.stringify({ imageLayoutVersion: "1.0.0" }))],
    ["index.json", Buffer.from(JSON.stringify(index))],
    ["manifest.json", Buffer.from(JSON.stringify(docker))],
    [blobPath(image.config.descriptor.digest), image.config.bytes],
    [blobPath(image.manifest.descriptor.digest), image.manifest.bytes],
  ]);
}
