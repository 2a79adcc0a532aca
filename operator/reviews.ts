/** Questions to the API server: who does this token belong to, and may this caller do that? */

import type { Client } from "../kube/client.ts";
import { SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS } from "../kube/resources.ts";
import type { Caller } from "./subresources/caller.ts";
import { SUBRESOURCES_VERSION, type SubresourcePath } from "./subresources/path.ts";
import type { TokenReviewResult } from "./uplink/identity.ts";

export async function reviewToken(
  client: Client,
  token: string,
  audience: string,
): Promise<TokenReviewResult> {
  const { status } = await client
    .resource(TOKEN_REVIEWS)
    .create({ metadata: {}, spec: { token, audiences: [audience] } });
  return {
    authenticated: status?.authenticated === true,
    audiences: status?.audiences ?? [],
    extra: status?.user?.extra ?? {},
    ...(status?.user?.username === undefined ? {} : { username: status.user.username }),
    ...(status?.error === undefined ? {} : { error: status.error }),
  };
}

/** May `caller` do `verb` on the subresource, by the cluster's own rules? */
export async function reviewAccess(
  client: Client,
  caller: Caller,
  verb: string,
  path: SubresourcePath,
): Promise<boolean> {
  const { status } = await client.resource(SUBJECT_ACCESS_REVIEWS).create({
    metadata: {},
    spec: {
      user: caller.user,
      groups: [...caller.groups],
      extra: Object.fromEntries(Object.entries(caller.extra).map(([key, values]) => [key, [...values]])),
      ...(caller.uid === undefined ? {} : { uid: caller.uid }),
      resourceAttributes: {
        group: path.group,
        version: SUBRESOURCES_VERSION,
        resource: path.resource,
        ...(path.subresource !== "" && { subresource: path.subresource }),
        namespace: path.namespace,
        ...(path.name !== "" && { name: path.name }),
        verb,
      },
    },
  });
  return status?.allowed === true;
}
