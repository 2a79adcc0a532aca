/** The aggregated API over real TLS, called as an API server's front proxy calls it. */
import type { Duplex } from "node:stream";
import type { TestContext } from "node:test";
import { WebSocket } from "ws";
import {
  createAuthority,
  createServingCertificate,
  type KeyedCertificate,
} from "../certificates/authority.ts";
import type { Caller } from "./caller.ts";
import { dial, type FrontProxyAuthority, frontProxyAuthority, type Target } from "./front-proxy.fixture.ts";
import type { SubresourcePath } from "./path.ts";
import { PLAIN_PROTOCOL, SubresourceServer, type SubresourceServerOptions } from "./server.ts";
import type { Session } from "./session.ts";
import { StatusError } from "./status.ts";

export const SERVER_NAME = "virtpod-operator.virtpod.svc";
export const CONSOLE =
  "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/tiny/console";
export const AS_JANE = ["X-Remote-User", "jane"];

/** But for the authority. */
export const TRUST = {
  allowedNames: ["front-proxy-client"],
  usernameHeaders: ["X-Remote-User"],
  groupHeaders: ["X-Remote-Group"],
  extraHeaderPrefixes: ["X-Remote-Extra-"],
};

const authority: KeyedCertificate = await createAuthority(Date.now());
export const serving: KeyedCertificate = await createServingCertificate(authority, [SERVER_NAME], Date.now());
export const proxy: FrontProxyAuthority = await frontProxyAuthority();

export interface Serving {
  readonly target: Target;
  readonly asked: { caller: Caller; verb: string; path: SubresourcePath }[];
  readonly errors: string[];
  readonly server: SubresourceServer;
}

export async function serve(t: TestContext, over: Partial<SubresourceServerOptions> = {}): Promise<Serving> {
  const asked: Serving["asked"] = [];
  const errors: string[] = [];
  const server = new SubresourceServer({
    certificate: serving,
    trust: { ...TRUST, clientCa: proxy.caPem },
    authorize: async (caller, verb, path) => {
      asked.push({ caller, verb, path });
      return true;
    },
    open: async () => {
      throw new StatusError("NotFound", 'virtualmachineinstances.kubevirt.io "tiny" not found');
    },
    handlers: {},
    onError: (_request, error) => errors.push(String(error)),
    port: 0,
    host: "127.0.0.1",
    ...over,
  });
  const port = await server.listen();
  t.after(() => server.close());
  const client = await proxy.issue("front-proxy-client");
  const target = { port, servername: SERVER_NAME, ca: authority.certificatePem, client };
  return { target, asked, errors, server };
}

export const bytes = (stream: Duplex): Session => ({ kind: "bytes", stream });

/** A websocket as virtctl opens it, by way of the front proxy. */
export async function openConsole(
  { target }: Serving,
  protocols: string[] = [PLAIN_PROTOCOL],
): Promise<WebSocket> {
  const socket = await dial(target);
  return new WebSocket(`ws://${SERVER_NAME}${CONSOLE}`, protocols, {
    createConnection: () => socket,
    headers: { "X-Remote-User": "jane" },
    perMessageDeflate: false,
  });
}
