/** Reads what the agent says about the pod's network. */
import type { Attachment } from "../../api/launcher-protocol.ts";
import type {
  GuestSubnetAttachment,
  InterfaceAttachment,
  PodInterface,
  PodNeighbour,
  PodRoute,
} from "../../api/pod-interface.ts";
import { RequestError } from "../../transport/errors.ts";
import { array, boolean, type Check, integer, object, oneOf, optional, string, tagged } from "../check.ts";

const LIST = { maxItems: 4096 };
const interfaceName = string({ maxLength: 15 });
const address = string({ maxLength: 64 });
const macAddress = string({ pattern: /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i, what: "a MAC address" });

const podRoute = object<PodRoute>({
  destination: address,
  gateway: optional(address),
  onLink: optional(boolean),
});

const podInterface = object<PodInterface>({
  name: interfaceName,
  macAddress,
  mtu: integer({ min: 68, max: 65_535 }),
  addresses: array(address, LIST),
  advertised: optional(array(address, LIST)),
  routes: array(podRoute, LIST),
  neighbours: array(object<PodNeighbour>({ address, macAddress }), LIST),
});

const interfaceAttachment = object<InterfaceAttachment>({
  name: string({ maxLength: 253 }),
  podInterface,
  guest: object<InterfaceAttachment["guest"]>({
    macAddress,
    subnet: optional(object<GuestSubnetAttachment>({ address, gateway: address })),
    subnet6: optional(object<GuestSubnetAttachment>({ address, gateway: address })),
  }),
  tap: object({ name: interfaceName, queues: integer({ min: 1, max: 256 }) }),
  bridge: object<InterfaceAttachment["bridge"]>({
    name: interfaceName,
    macAddress,
    address: optional(address),
  }),
});

const attachment: Check<Attachment> = tagged<Attachment>("ok", {
  true: object<Extract<Attachment, { ok: true }>>({
    ok: oneOf(true),
    interfaces: array(interfaceAttachment, { maxItems: 10 }),
  }),
  false: object<Extract<Attachment, { ok: false }>>({ ok: oneOf(false), code: string(), message: string() }),
});

/** @throws RequestError 400 AttachmentInvalid */
export function parseAttachment(body: unknown): Attachment {
  try {
    return attachment(body, "");
  } catch (cause) {
    throw new RequestError(400, "AttachmentInvalid", `attachment ${(cause as Error).message}`, { cause });
  }
}
