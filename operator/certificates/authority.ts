/**
 * The certificate authority that agents and the API server trust, and the serving certificates it signs.
 * Pure but for the keys' randomness: where a CA is kept and when it is read is `custody.ts`.
 */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

cryptoProvider.set(webcrypto);

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 24 * 60 * 60 * 1000;
/** A clock that is a little behind must not call a fresh certificate invalid. */
const CLOCK_SKEW_MS = 5 * 60 * 1000;
export const AUTHORITY_LIFETIME_MS = 3650 * DAY_MS;
export const SERVING_LIFETIME_MS = 30 * DAY_MS;

export interface KeyedCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** A self-signed CA, valid for AUTHORITY_LIFETIME_MS from `now` (milliseconds since the epoch). */
export async function createAuthority(now: number): Promise<KeyedCertificate> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: "CN=virtpod",
    notBefore: new Date(now - CLOCK_SKEW_MS),
    notAfter: new Date(now + AUTHORITY_LIFETIME_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: certificate.toString("pem"), privateKeyPem: await privateKeyPem(keys) };
}

/** A serving certificate for `dnsNames`, valid for SERVING_LIFETIME_MS from `now`. */
export async function createServingCertificate(
  authority: KeyedCertificate,
  dnsNames: readonly string[],
  now: number,
): Promise<KeyedCertificate> {
  const issuer = new X509Certificate(authority.certificatePem);
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: `CN=${dnsNames[0] ?? "virtpod"}`,
    issuer: issuer.subject,
    notBefore: new Date(now - CLOCK_SKEW_MS),
    notAfter: new Date(Math.min(now + SERVING_LIFETIME_MS, issuer.notAfter.getTime())),
    signingAlgorithm: ALGORITHM,
    signingKey: await importPrivateKey(authority.privateKeyPem),
    publicKey: keys.publicKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: "dns" as const, value }))),
      // All authorities have one name: a client that trusts two tells by the key which one signed (RFC 5280, 4.2.1.1).
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { certificatePem: certificate.toString("pem"), privateKeyPem: await privateKeyPem(keys) };
}

/** True when less than a third of the certificate's life is left, or when it can't be read. */
export function needsRenewal(certificatePem: string, now: number): boolean {
  try {
    const { notBefore, notAfter } = new X509Certificate(certificatePem);
    return now >= notAfter.getTime() - (notAfter.getTime() - notBefore.getTime()) / 3;
  } catch {
    return true;
  }
}

/** When needsRenewal turns true, in milliseconds since the epoch. */
export function renewalTime(certificatePem: string): number {
  const { notBefore, notAfter } = new X509Certificate(certificatePem);
  return notAfter.getTime() - (notAfter.getTime() - notBefore.getTime()) / 3;
}

async function generateKeys(): Promise<CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function privateKeyPem(keys: CryptoKeyPair): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
}

async function importPrivateKey(pem: string): Promise<CryptoKey> {
  const der = PemConverter.decode(pem)[0];
  if (der === undefined) throw new Error("the authority's private key is not PEM");
  return await webcrypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]);
}

/** RFC 5280 section 4.1.2.2: positive, at most 20 octets. */
function randomSerial(): string {
  const bytes = Buffer.from(webcrypto.getRandomValues(new Uint8Array(16)));
  bytes[0] = (bytes[0] ?? 0) & 0x7f || 1;
  return bytes.toString("hex");
}

type CryptoKeyPair = webcrypto.CryptoKeyPair;
type CryptoKey = webcrypto.CryptoKey;
