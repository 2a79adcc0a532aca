/** One watch of a namespace's VMs, open before anything changes: what `kubectl get vm --watch` is told, and when. */
import type { VirtualMachine } from "../api/virtual-machine.ts";
import type { Client } from "../kube/client.ts";
import { VIRTUAL_MACHINES } from "../operator/kinds.ts";

interface Waiter {
  readonly name: string;
  readonly when: (vm: VirtualMachine) => boolean;
  readonly resolve: (atMs: number) => void;
}

export class VmWatch {
  readonly #vms = new Map<string, VirtualMachine>();
  readonly #waiters = new Set<Waiter>();
  readonly #stop = new AbortController();
  readonly #failed = Promise.withResolvers<never>();

  /** Resolves when the watch is open. */
  static async open(client: Client, namespace: string): Promise<VmWatch> {
    const watch = new VmWatch();
    const vms = client.resource(VIRTUAL_MACHINES).namespace(namespace);
    const { items, resourceVersion } = await vms.list();
    for (const vm of items) watch.#see(vm);
    const { signal } = watch.#stop;
    const follow = async () => {
      for await (const event of vms.watch({ resourceVersion, signal })) {
        if (event.type !== "BOOKMARK") watch.#see(event.object);
      }
    };
    watch.#failed.promise.catch(() => {});
    follow().catch((error: unknown) => watch.#failed.reject(error));
    return watch;
  }

  /** The VM as it was told last. */
  get(name: string): VirtualMachine | undefined {
    return this.#vms.get(name);
  }

  /** Unix time at which the watch tells of a VM that `when` holds; now, where it does already. @throws Error with the VM's status */
  async until(name: string, what: string, timeoutMs: number, when: Waiter["when"]): Promise<number> {
    const vm = this.#vms.get(name);
    if (vm !== undefined && when(vm)) return Date.now();
    const { promise, resolve } = Promise.withResolvers<number>();
    const waiter = { name, when, resolve };
    this.#waiters.add(waiter);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const seen = JSON.stringify(this.#vms.get(name)?.status);
        reject(new Error(`VM ${name}: ${what} was not told in ${timeoutMs} ms; last told: ${seen}`));
      }, timeoutMs);
    });
    try {
      return await Promise.race([promise, late, this.#failed.promise]);
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(waiter);
    }
  }

  close(): void {
    this.#stop.abort();
  }

  #see(vm: VirtualMachine): void {
    const atMs = Date.now();
    this.#vms.set(vm.metadata.name ?? "", vm);
    for (const waiter of this.#waiters) {
      if (waiter.name === vm.metadata.name && waiter.when(vm)) waiter.resolve(atMs);
    }
  }
}
