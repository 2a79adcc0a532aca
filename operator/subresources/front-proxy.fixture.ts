/** An API server's front proxy, for tests: its certificate authority, and its way of calling an aggregated API. */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect, type SecureContextOptions, type TLSSocket } from "node:tls";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  PemConverter,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const HOUR_MS = 3_600_000;

export interface FrontProxyAuthority {
  readonly caPem: string;
  /** A client certificate of this common name, and its key. */
  issue(commonName: string): Promise<SecureContextOptions>;
}

export async function frontProxyAuthority(): Promise<FrontProxyAuthority> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const validity = { notBefore: new Date(Date.now() - HOUR_MS), notAfter: new Date(Date.now() + HOUR_MS) };
  const ca = await X509CertificateGenerator.createSelfSigned({
    name: "CN=front-proxy-ca",
    keys,
    signingAlgorithm: ALGORITHM,
    ...validity,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const issue = async (commonName: string) => {
    const own = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
    const certificate = await X509CertificateGenerator.create({
      subject: `CN=${commonName}`,
      issuer: ca.subject,
      publicKey: own.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: ALGORITHM,
      ...validity,
      // Go's certificates name their issuer's key: authorities of one name are told apart by it (RFC 5280, 4.2.1.1).
      extensions: [
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
        await AuthorityKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    const key = await webcrypto.subtle.exportKey("pkcs8", own.privateKey);
    return { cert: certificate.toString("pem"), key: PemConverter.encode(key, "PRIVATE KEY") };
  };
  return { caPem: ca.toString("pem"), issue };
}

export interface Target {
  readonly port: number;
  readonly servername: string;
  /** Of the server's authority. */
  readonly ca: string;
  readonly client?: SecureContextOptions;
}

/** @throws when the server refuses the connection */
export async function dial({ port, servername, ca, client = {} }: Target): Promise<TLSSocket> {
  const socket = connect({ host: "127.0.0.1", port, servername, ca, ...client });
  await once(socket, "secureConnect");
  return socket;
}

/** Headers as they stand on the wire: a list of name, value, name, value, so that a name may come twice. */
export type RawHeaders = readonly string[];

export async function get(
  target: Target,
  path: string,
  headers: RawHeaders = [],
): Promise<{ status: number; body: Record<string, unknown> }> {
  const socket = await dial(target);
  try {
    const sent = request({
      createConnection: () => socket,
      path,
      headers: ["host", target.servername, ...headers],
    });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Record<string, unknown>;
    return { status: response.statusCode ?? 0, body };
  } finally {
    socket.destroy();
  }
}

export async function put(
  target: Target,
  path: string,
  headers: RawHeaders,
  body: string,
): Promise<{ status: number; text: string }> {
  const { status, text } = await send(target, "PUT", path, headers, body);
  return { status, text };
}

export async function send(
  target: Target,
  method: string,
  path: string,
  headers: RawHeaders,
  body = "",
): Promise<{ status: number; text: string; bytes: Buffer; headers: IncomingMessage["headers"] }> {
  const socket = await dial(target);
  try {
    const length = ["content-length", String(Buffer.byteLength(body))];
    const sent = request({
      createConnection: () => socket,
      method,
      path,
      headers: ["host", target.servername, ...length, ...headers],
    });
    sent.end(body);
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const answer = Buffer.concat(chunks);
    return {
      status: response.statusCode ?? 0,
      text: answer.toString("utf8"),
      bytes: answer,
      headers: response.headers,
    };
  } finally {
    socket.destroy();
  }
}
