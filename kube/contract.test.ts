import { Client } from "./client.ts";
import { anonymous } from "./config.ts";
import { describeContract } from "./fake/contract.ts";
import { FakeApiServer } from "./fake/server.ts";
import { fakeClient, listen } from "./fake/transport.ts";
import { CONFIG_MAPS, LEASES, PODS } from "./resources.ts";
import { UndiciTransport } from "./undici-transport.ts";

const serve = () => {
  const server = new FakeApiServer({ resources: [CONFIG_MAPS, PODS, LEASES] });
  server.compact();
  return server;
};

describeContract("the fake API server", async () => {
  const client = fakeClient(serve());
  return { client, namespace: "default", forgotten: CONFIG_MAPS, close: () => client.close() };
});

describeContract("the fake API server behind HTTP", async () => {
  const { url, close } = await listen(serve());
  const transport = new UndiciTransport({
    server: url,
    tls: {},
    credentials: anonymous,
    namespace: "default",
  });
  const client = new Client({ transport, credentials: anonymous, userAgent: "contract" });
  return {
    client,
    namespace: "default",
    forgotten: CONFIG_MAPS,
    close: async () => {
      await client.close();
      await close();
    },
  };
});
