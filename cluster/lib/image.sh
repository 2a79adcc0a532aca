# shellcheck shell=bash
# Images without a registry: archives of one layer, made with tar alone.

pause_image=localhost/virtpod/pause:1

# pause_program: path of the static pause program, built when the cache lacks it.
pause_program() {
  local source=$cluster/pause/pause.c folder
  folder=$cache/bin/pause-$(sha256sum <"$source" | head -c 12)
  if [[ ! -x $folder/pause ]]; then
    mkdir -p "$folder"
    gcc -Os -static -s -o "$folder/.pause.$$" "$source" >&2 || fail "gcc could not build pause.c; its message is above."
    mv "$folder/.pause.$$" "$folder/pause"
  fi
  echo "$folder/pause"
}

# archive_image ARCHIVE NAME ENTRYPOINT FOLDER: FOLDER's content as a docker archive
# whose bytes depend on the content alone. ENTRYPOINT is a JSON list of strings.
archive_image() {
  local archive=$1 name=$2 entrypoint=$3 folder=$4 work layer image
  local reproducible=(--sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner)
  work=$(mktemp -d)
  tar "${reproducible[@]}" -C "$folder" -cf "$work/layer.tar" .
  layer=$(sha256sum <"$work/layer.tar" | cut -d ' ' -f 1)
  printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":%s,"Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(dpkg --print-architecture)" "$entrypoint" "$layer" >"$work/config.json"
  image=$(sha256sum <"$work/config.json" | cut -d ' ' -f 1)
  mv "$work/config.json" "$work/$image.json"
  printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$image" "$name" >"$work/manifest.json"
  tar "${reproducible[@]}" -C "$work" -cf "$work/image.tar" manifest.json "$image.json" layer.tar
  mv "$work/image.tar" "$archive"
  rm -rf "$work"
}

# ctr's warnings go to the log: on cgroup v1 each call has one.
ctr() { node_enter "$(tool_path ctr)" --address "$containerd_socket" --namespace k8s.io "$@" 2>>"$logs/images.log"; }

# image_present ARCHIVE: whether containerd already holds what the archive holds.
# A docker archive names the image's configuration, which containerd's manifest
# names too; an OCI archive names the manifest itself.
image_present() {
  local archive=$1 images manifest configuration tag digest
  images=$(ctr images list)
  if manifest=$(tar -xOf "$archive" manifest.json 2>/dev/null); then
    configuration=$(grep -oE '"Config": *"[^"]+"' <<<"$manifest" | grep -oE '[0-9a-f]{64}' | head -n 1)
    tag=$(grep -oE '"RepoTags": *\[ *"[^"]+"' <<<"$manifest" | head -n 1 | cut -d '"' -f 4)
    digest=$(awk -v name="$tag" '$1 == name {print $3}' <<<"$images")
    [[ -n $digest && $(ctr content get "$digest") == *"sha256:$configuration"* ]]
  else
    digest=$(tar -xOf "$archive" index.json 2>/dev/null | grep -oE 'sha256:[0-9a-f]{64}' | head -n 1)
    [[ -n $digest ]] && grep -q " $digest " <<<"$images"
  fi
}

# load_image ARCHIVE: by standard input, so that any path the caller sees will do.
load_image() {
  [[ -r $1 ]] || fail "there is no readable image archive $1."
  if image_present "$1"; then
    step "$(basename "$1") is there already"
    return
  fi
  ctr images import - <"$1" >>"$logs/images.log" ||
    fail_with_log "$logs/images.log" "containerd could not import $1."
  refer_to_configurations
  step "imported $(basename "$1")"
}

# refer_to_configurations: CRI finds the image of an image volume by a reference
# named after its configuration. It makes that when a name is new, but not when a
# name moves to a newer image.
refer_to_configurations() {
  local images name digest configuration
  images=$(ctr images list)
  while read -r name digest; do
    configuration=$(ctr content get "$digest" | grep -oE '"config":\{[^}]*' | grep -oE 'sha256:[0-9a-f]{64}') || continue
    ctr images tag --force "$name" "$configuration" >>"$logs/images.log"
  done < <(awk '
    NR == 1 {next}
    $1 ~ /^sha256:/ {referred[$3]; next}
    {named[$1] = $3}
    END {for (name in named) if (!(named[name] in referred)) print name, named[name]}' <<<"$images")
}

load_pause_image() {
  local work
  work=$(mktemp -d)
  mkdir "$work/root"
  cp "$(pause_program)" "$work/root/pause"
  archive_image "$work/pause.tar" "$pause_image" '["/pause"]' "$work/root"
  load_image "$work/pause.tar"
  rm -rf "$work"
}
