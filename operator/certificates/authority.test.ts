import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import {
  AUTHORITY_LIFETIME_MS,
  createAuthority,
  createServingCertificate,
  type KeyedCertificate,
  needsRenewal,
  SERVING_LIFETIME_MS,
} from "./authority.ts";

const now = Date.now();

/** A TLS server with this certificate, and who dials it trusting `ca`. */
async function serve(t: TestContext, { certificatePem, privateKeyPem }: KeyedCertificate, ca: string) {
  const server = createServer({ cert: certificatePem, key: privateKeyPem }, (socket) => socket.end("ok"));
  server.listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { dial: (servername: string): TLSSocket => connect({ host: "127.0.0.1", port, servername, ca }) };
}

describe("certificates", () => {
  it("of the authority are accepted by a TLS client for the names they carry and no others", async (t) => {
    const authority = await createAuthority(now);
    const serving = await createServingCertificate(authority, ["virtpod-uplink.virtpod.svc"], now);
    const { dial } = await serve(t, serving, authority.certificatePem);
    const good = dial("virtpod-uplink.virtpod.svc");
    await once(good, "secureConnect");
    good.destroy();
    const bad = dial("elsewhere.virtpod.svc");
    const [error] = (await once(bad, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ERR_TLS_CERT_ALTNAME_INVALID");
  });

  it("of either authority are accepted by who trusts both, as while the authority is renewed", async (t) => {
    const before = await createAuthority(now - AUTHORITY_LIFETIME_MS / 2);
    const after = await createAuthority(now);
    const bundle = [after, before].map(({ certificatePem }) => certificatePem).join("\n");
    for (const authority of [before, after]) {
      const serving = await createServingCertificate(authority, ["a"], now);
      const { dial } = await serve(t, serving, bundle);
      const socket = dial("a");
      await once(socket, "secureConnect");
      socket.destroy();
    }
  });

  it("are to be renewed when a third of their life is left", async () => {
    const authority = await createAuthority(now);
    const serving = await createServingCertificate(authority, ["a"], now);
    assert.equal(needsRenewal(serving.certificatePem, now), false);
    assert.equal(needsRenewal(serving.certificatePem, now + SERVING_LIFETIME_MS * 0.6), false);
    assert.equal(needsRenewal(serving.certificatePem, now + SERVING_LIFETIME_MS * 0.7), true);
    assert.equal(needsRenewal("not a certificate", now), true);
  });

  it("never outlive their authority", async () => {
    const authority = await createAuthority(now - AUTHORITY_LIFETIME_MS + 60_000);
    const serving = await createServingCertificate(authority, ["a"], now);
    assert.equal(needsRenewal(serving.certificatePem, now + 60_000), true);
  });
});
