/** The Service that `virtpod expose` makes. Pure. */
import { instanceId } from "../api/instance-id.ts";
import { KUBEVIRT_GROUP, KUBEVIRT_VERSION, LABEL_INSTANCE_ID } from "../api/names.ts";
import type { VirtualMachineInstanceSpec } from "../api/virtual-machine-instance.ts";
import { CliError } from "./errors.ts";

export interface ServiceOptions {
  /** The Service's. */
  readonly name: string;
  readonly port?: number;
  readonly targetPort?: string;
  readonly portName?: string;
  readonly protocol: string;
  readonly type: string;
  readonly clusterIp?: string;
  readonly externalIp?: string;
  readonly ipFamily?: string;
  readonly ipFamilyPolicy?: string;
}

/** What is exposed. */
export interface Exposed {
  readonly kind: "VirtualMachine" | "VirtualMachineInstance";
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid: string };
  readonly spec: Pick<VirtualMachineInstanceSpec, "domain" | "networks">;
}

interface ServicePort {
  readonly name?: string;
  readonly protocol: string;
  readonly port: number;
  readonly targetPort?: number | string;
}

/** It goes with the machine. @throws CliError */
export function serviceOf(exposed: Exposed, options: ServiceOptions): object {
  const { clusterIp, externalIp } = options;
  const { metadata } = exposed;
  const families = ipFamilies(options.ipFamily);
  const policy = options.ipFamilyPolicy ?? (families.length > 1 ? "PreferDualStack" : undefined);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: options.name,
      namespace: metadata.namespace,
      ownerReferences: [
        {
          apiVersion: `${KUBEVIRT_GROUP}/${KUBEVIRT_VERSION}`,
          kind: exposed.kind,
          name: metadata.name,
          uid: metadata.uid,
          controller: true,
          blockOwnerDeletion: false,
        },
      ],
    },
    spec: {
      type: oneOf("type", options.type, ["ClusterIP", "NodePort", "LoadBalancer"]),
      selector: { [LABEL_INSTANCE_ID]: instanceId(metadata.name) },
      ports: portsOf(exposed, options),
      ...(clusterIp !== undefined && { clusterIP: clusterIp }),
      ...(externalIp !== undefined && { externalIPs: [externalIp] }),
      ...(families.length > 0 && { ipFamilies: families }),
      ...(policy !== undefined && {
        ipFamilyPolicy: oneOf("ip-family-policy", policy, [
          "SingleStack",
          "PreferDualStack",
          "RequireDualStack",
        ]),
      }),
    },
  };
}

function portsOf({ metadata, spec }: Exposed, options: ServiceOptions): readonly ServicePort[] {
  const { port, portName, targetPort } = options;
  const protocol = oneOf("protocol", options.protocol, ["TCP", "UDP"]);
  if (port !== undefined) {
    const target = targetPort === undefined ? {} : { targetPort: numberOrName(targetPort) };
    return [{ ...(portName !== undefined && { name: portName }), protocol, port, ...target }];
  }
  const network = spec.networks?.find(({ pod }) => pod !== undefined)?.name;
  const own = spec.domain.devices?.interfaces?.find(({ name }) => name === network)?.ports ?? [];
  if (own.length === 0)
    throw new CliError(`${metadata.name} lists no ports on its pod interface: say which with --port`);
  return own.map((one, index) => ({
    name: `port-${index + 1}`,
    protocol: one.protocol ?? "TCP",
    port: one.port,
  }));
}

function numberOrName(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}

function ipFamilies(text = ""): readonly string[] {
  const families = text === "" ? [] : text.split(",").map((one) => oneOf("ip-family", one, ["IPv4", "IPv6"]));
  if (new Set(families).size < families.length)
    throw new CliError(`--ip-family names a family twice: ${text}`);
  return families;
}

/** In the API's spelling. @throws CliError */
function oneOf(flag: string, text: string, values: readonly string[]): string {
  const found = values.find((value) => value.toLowerCase() === text.toLowerCase());
  if (found === undefined) throw new CliError(`--${flag} is ${values.join(" or ")}, not ${text}`);
  return found;
}
