# shellcheck shell=bash
# Programs built from Go modules, one module per tool (tools/<tool>/), cached
# outside the checkout by version and by the hash of the module's files.

# binary, tool, package, module whose version is the tool's
tool_table() {
  cat <<'TABLE'
etcd etcd go.etcd.io/etcd/server/v3 go.etcd.io/etcd/server/v3
etcdctl etcd go.etcd.io/etcd/etcdctl/v3 go.etcd.io/etcd/server/v3
kube-apiserver kubernetes k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes
kubectl kubernetes k8s.io/kubernetes/cmd/kubectl k8s.io/kubernetes
kube-controller-manager kubernetes k8s.io/kubernetes/cmd/kube-controller-manager k8s.io/kubernetes
kube-scheduler kubernetes k8s.io/kubernetes/cmd/kube-scheduler k8s.io/kubernetes
kubelet kubernetes k8s.io/kubernetes/cmd/kubelet k8s.io/kubernetes
containerd containerd github.com/containerd/containerd/v2/cmd/containerd github.com/containerd/containerd/v2
containerd-shim-runc-v2 containerd github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 github.com/containerd/containerd/v2
ctr containerd github.com/containerd/containerd/v2/cmd/ctr github.com/containerd/containerd/v2
bridge cni github.com/containernetworking/plugins/plugins/main/bridge github.com/containernetworking/plugins
host-local cni github.com/containernetworking/plugins/plugins/ipam/host-local github.com/containernetworking/plugins
loopback cni github.com/containernetworking/plugins/plugins/main/loopback github.com/containernetworking/plugins
ptp cni github.com/containernetworking/plugins/plugins/main/ptp github.com/containernetworking/plugins
portmap cni github.com/containernetworking/plugins/plugins/meta/portmap github.com/containernetworking/plugins
kube-proxy kubernetes k8s.io/kubernetes/cmd/kube-proxy k8s.io/kubernetes
coredns coredns virtpod/cluster/tools/coredns github.com/coredns/coredns
helm helm helm.sh/helm/v4/cmd/helm helm.sh/helm/v4
kwok kwok sigs.k8s.io/kwok/cmd/kwok sigs.k8s.io/kwok
metrics-server metrics-server sigs.k8s.io/metrics-server/cmd/metrics-server sigs.k8s.io/metrics-server
TABLE
}

# What cluster/up builds; the others are built when someone asks for them.
cluster_binaries=(etcd etcdctl kube-apiserver kubectl kube-controller-manager kube-scheduler
  kubelet containerd containerd-shim-runc-v2 ctr bridge host-local loopback portmap
  kube-proxy coredns)

tool_entry() {
  local entry
  entry=$(tool_table | grep "^$1 ") || fail "there is no tool named $1; cluster/tool without a name lists them."
  echo "$entry"
}

# tool_folder TOOL MODULE: the cache folder of the tool as this checkout wants it.
tool_folder() {
  local folder=$cluster/tools/$1 version hash
  version=$(awk -v module="$2" '$1 == "require" {$1 = ""; $0 = $0} $1 == module && NF > 1 {print $2; exit}' "$folder/go.mod")
  hash=$(
    shopt -s nullglob
    { linker_variables "$1" "$version" && cat "$folder"/go.mod "$folder"/go.sum "$folder"/*.go; } | sha256sum
  )
  echo "$cache/bin/$1-$version-${hash:0:12}"
}

# tool_path BINARY: where the binary is once it has been built.
tool_path() {
  local entry binary tool package module
  entry=$(tool_entry "$1")
  read -r binary tool package module <<<"$entry"
  echo "$(tool_folder "$tool" "$module")/$binary"
}

# linker_variables TOOL VERSION: the versions that the programs report.
linker_variables() {
  local version=${2#v} base=k8s.io/component-base/version minor
  case $1 in
  kubernetes)
    minor=${version#*.}
    echo "-X $base.gitVersion=v$version -X $base.gitMajor=${version%%.*} -X $base.gitMinor=${minor%%.*}"
    ;;
  containerd) echo "-X github.com/containerd/containerd/v2/version.Version=$version" ;;
  helm) echo "-X helm.sh/helm/v4/internal/version.version=v$version" ;;
  esac
}

# ensure_tool BINARY: builds the binary if the cache has none. An aborted build
# leaves only its temporary folder, and two at the same time wait for each other.
ensure_tool() {
  local entry binary tool package module folder version
  entry=$(tool_entry "$1")
  read -r binary tool package module <<<"$entry"
  folder=$(tool_folder "$tool" "$module")
  [[ -x $folder/$binary ]] && return
  check_go
  mkdir -p "$folder"
  (
    flock 8
    [[ -x $folder/$binary ]] && exit
    version=${folder##*/"$tool"-}
    build_tool "$binary" "$tool" "$package" "${version%-*}" "$folder"
  ) 8>"$folder/.lock"
}

build_tool() {
  local binary=$1 tool=$2 package=$3 version=$4 folder=$5 half log start=$SECONDS tags=""
  log=$cache/logs/build-$binary.log
  half=$(mktemp -d "$folder/.build-XXXXXX")
  mkdir -p "$cache/logs"
  step "building $binary $version (first time only)"
  [[ $tool == kubernetes ]] && tags=providerless
  if ! (cd "$cluster/tools/$tool" && CGO_ENABLED=0 go build -trimpath -tags "$tags" \
    -ldflags "-s -w $(linker_variables "$tool" "$version")" \
    -o "$half/$binary" "$package") >"$log" 2>&1 </dev/null; then
    rm -rf "$half"
    fail_with_log "$log" "$binary $version does not build."
  fi
  mv "$half/$binary" "$folder/$binary"
  rmdir "$half"
  step "built $binary in $((SECONDS - start)) s"
}
