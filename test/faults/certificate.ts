/** The proxy's identity for its clients: an authority and a certificate, made for one run. */
import { createAuthority, createServingCertificate } from "../../operator/certificates/authority.ts";

/** What the certificate is made out to: addresses differ by machine, clients are told to expect this name. */
export const PROXY_NAME = "fault-proxy";

export async function proxyCertificate(): Promise<{
  readonly ca: string;
  readonly certificate: { readonly cert: string; readonly key: string };
}> {
  const now = Date.now();
  const authority = await createAuthority(now);
  const serving = await createServingCertificate(authority, [PROXY_NAME], now);
  return {
    ca: authority.certificatePem,
    certificate: { cert: serving.certificatePem, key: serving.privateKeyPem },
  };
}
