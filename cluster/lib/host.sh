# shellcheck shell=bash
# What the machine must bring, and what is installed on it when missing.

packages=(e2fsprogs gcc iproute2 libc6-dev mount nftables openssl procps runc util-linux)

check_host() {
  ((EUID == 0)) || fail "the cluster makes namespaces, links and mounts: run this as root."
  # shellcheck source=/dev/null
  local id version
  id=$(. /etc/os-release && echo "$ID")
  version=$(. /etc/os-release && echo "${VERSION_ID:-0}")
  [[ $id == debian && $version =~ ^(12|13)$ ]] ||
    fail "this is $id $version: the development cluster is made for Debian 12 and 13."
  command -v make >/dev/null || fail "make is missing: apt-get install make."
  check_go
  check_node
}

# Go 1.21 is the first that fetches the version which a module asks for.
check_go() {
  command -v go >/dev/null || fail "Go is missing: install Go 1.26 and put it on the PATH."
  local version
  version=$(go env GOVERSION)
  at_least "${version#go}" 1.21 || fail "Go is $version: 1.21 or newer is needed."
}

check_node() {
  command -v node >/dev/null || fail "Node is missing: install Node 20 or newer with npm."
  local version
  version=$(node --version)
  at_least "${version#v}" 20 || fail "Node is $version: 20 or newer is needed."
  command -v npm >/dev/null || fail "npm is missing: install it beside Node."
}

# at_least VERSION MINIMUM
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }

install_packages() {
  local package missing=()
  for package in "${packages[@]}"; do
    [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  step "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  quietly apt "apt-get update failed: are Debian's mirrors reachable?" apt-get update
  quietly apt "apt-get could not install ${missing[*]}." \
    apt-get install --yes --no-install-recommends "${missing[@]}"
}
