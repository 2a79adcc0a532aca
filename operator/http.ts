/** Probes and metrics of the operator, on plain HTTP inside the pod network. */
import { createServer } from "node:http";
import type { Registry } from "prom-client";
import { METRICS_PORT } from "../api/names.ts";
import type { Runnable } from "../kube/manager.ts";

export function probesAndMetrics(registry: Registry, isReady: () => boolean, port = METRICS_PORT): Runnable {
  const server = createServer(async (request, response) => {
    const path = (request.url ?? "").split("?", 1)[0];
    if (path === "/livez") return void response.end("ok");
    if (path === "/readyz") {
      response.statusCode = isReady() ? 200 : 503;
      return void response.end(isReady() ? "ok" : "caches are still filling");
    }
    if (path === "/metrics") {
      response.setHeader("content-type", registry.contentType);
      const text = await registry.metrics().catch((error: unknown) => {
        response.statusCode = 500;
        return `# ${error instanceof Error ? error.message : String(error)}\n`;
      });
      return void response.end(text);
    }
    response.statusCode = 404;
    response.end();
  });
  return {
    name: "probes and metrics",
    run: (signal) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port);
        signal.addEventListener("abort", () => {
          server.closeAllConnections();
          server.close(() => resolve());
        });
      }),
  };
}
