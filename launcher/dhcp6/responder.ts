/**
 * What is answered to a DHCPv6 message (RFC 8415 sections 16 and 18.3), or why nothing is. One link has one guest and
 * one address, so nothing is remembered: whoever asks is the guest. Pure.
 */
import {
  type Association,
  asksForDns,
  encodeReply,
  type Grant,
  MESSAGE,
  type Reply,
  type Request,
  STATUS,
} from "./codec.ts";
import type { Lease6 } from "./lease.ts";

export interface Answer {
  readonly reply: Buffer;
  /** For counting. */
  readonly kind: string;
  /** The client may use its address from now on. */
  readonly leased: boolean;
}

export type Decision = Answer | { readonly silence: string };

export function respond(request: Request, lease: Lease6): Decision {
  const silence = violation(request, lease);
  if (silence !== undefined) return { silence };
  switch (request.type) {
    case MESSAGE.solicit:
      return request.rapidCommit
        ? answer(request, lease, "rapidReply", { grants: grants(request, lease), rapidCommit: true })
        : answer(request, lease, "advertise", { type: MESSAGE.advertise, grants: grants(request, lease) });
    case MESSAGE.request:
    case MESSAGE.renew:
    case MESSAGE.rebind:
      return answer(request, lease, "reply", { grants: grants(request, lease) });
    case MESSAGE.confirm:
      return confirm(request, lease);
    case MESSAGE.release:
    case MESSAGE.decline:
      return answer(request, lease, request.type === MESSAGE.release ? "released" : "declined", {
        status: STATUS.success,
      });
    case MESSAGE.informationRequest:
      return answer(request, lease, "information", {});
    default:
      return { silence: "unknownType" };
  }
}

const NEEDS_SERVER_ID: readonly number[] = [MESSAGE.request, MESSAGE.renew, MESSAGE.release, MESSAGE.decline];
const HAS_NO_SERVER_ID: readonly number[] = [MESSAGE.solicit, MESSAGE.confirm, MESSAGE.rebind];

/** Section 16: why the message must be discarded. */
function violation({ type, clientId, serverId, associations }: Request, lease: Lease6): string | undefined {
  if (clientId === undefined && type !== MESSAGE.informationRequest) return "noClientId";
  if (NEEDS_SERVER_ID.includes(type) && serverId === undefined) return "noServerId";
  if (HAS_NO_SERVER_ID.includes(type) && serverId !== undefined) return "serverIdGiven";
  if (serverId !== undefined && !serverId.equals(lease.serverId)) return "otherServer";
  if (type === MESSAGE.informationRequest && associations.length > 0) return "associationGiven";
  return undefined;
}

/** Section 18.3.3. */
function confirm(request: Request, lease: Lease6): Decision {
  const addresses = request.associations.flatMap((one) => one.addresses);
  if (addresses.length === 0) return { silence: "nothingToConfirm" };
  const isOnLink = addresses.every((address) => address.equals(lease.address));
  return answer(request, lease, isOnLink ? "confirmed" : "notOnLink", {
    status: isOnLink ? STATUS.success : STATUS.notOnLink,
  });
}

/** The first association has the address; there is none for others. */
function grants({ associations }: Request, lease: Lease6): readonly Grant[] {
  return associations.map(
    ({ id, addresses }: Association, index): Grant => ({
      id,
      address: index === 0 ? lease.address : undefined,
      withdrawn: addresses.filter((one) => index > 0 || !one.equals(lease.address)),
    }),
  );
}

function answer(request: Request, lease: Lease6, kind: string, content: Partial<Reply>): Decision {
  const reply: Reply = {
    type: MESSAGE.reply,
    transaction: request.transaction,
    clientId: request.clientId,
    serverId: lease.serverId,
    grants: [],
    lifetimes: lease,
    rapidCommit: false,
    dnsServers: asksForDns(request) ? lease.dnsServers : [],
    ...content,
  };
  const leased = reply.type === MESSAGE.reply && reply.grants.length > 0;
  return { reply: encodeReply(reply), kind, leased };
}
