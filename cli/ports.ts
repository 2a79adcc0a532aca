/** Ports to forward, as virtctl writes them: `[protocol/]local[:guest]`. Pure. */
import { CliError } from "./errors.ts";

export interface ForwardedPort {
  readonly protocol: "tcp" | "udp";
  /** 0 for any that is free. */
  readonly local: number;
  readonly guest: number;
}

/** @throws CliError */
export function parsePort(text: string): ForwardedPort {
  const [, protocol = "tcp", local = "", guest = local] = /^(?:(\w+)\/)?(\d+)(?::(\d+))?$/.exec(text) ?? [];
  const lower = protocol.toLowerCase();
  const port = { local: Number(local), guest: Number(guest) };
  if (lower !== "tcp" && lower !== "udp")
    throw new CliError(`${text} names the protocol ${protocol}: there are tcp and udp`);
  if (local === "" || port.local > 65_535 || port.guest > 65_535 || port.guest === 0)
    throw new CliError(`${text} is no port to forward: write 8080, 8080:80 or udp/5353:53`);
  return { protocol: lower, ...port };
}
