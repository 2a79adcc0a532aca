/** Settings of a libvirtd that serves one launcher and one domain. */

type Setting = string | number | readonly string[];

/** libvirtd.conf */
export function libvirtdConf(): string {
  return render({
    // The socket's folder belongs to the daemon's user alone.
    auth_unix_rw: "none",
    // One client: a worker for its calls, a second one beside a slow call, one kept for destroy (which has priority).
    min_workers: 1,
    max_workers: 2,
    prio_workers: 1,
    admin_min_workers: 1,
    admin_max_workers: 1,
    max_client_requests: 20,
    // The close of a unix socket tells enough.
    keepalive_interval: -1,
    log_level: 3,
    log_outputs: "3:stderr",
  });
}

/** qemu.conf */
export function qemuConf(): string {
  return render({
    // "logd" would start virtlogd, 16 MiB, for a log of a few lines.
    stdio_handler: "file",
    // The container confines qemu: libvirt has neither the privilege nor the need.
    namespaces: [],
    cgroup_controllers: [],
    security_driver: "none",
    dynamic_ownership: 0,
    remember_owner: 0,
    max_core: 0,
  });
}

function render(settings: Readonly<Record<string, Setting>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`)
    .join("");
}
