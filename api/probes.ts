/**
 * `readinessProbe`, `livenessProbe`: what the kubelet asks of a guest, at the pod's address, which is the guest's, or
 * through the guest's agent.
 */
import { Type } from "typebox";
import { choice, type Data, later, list, object } from "./schema.ts";

const portSchema = Type.Unsafe<number | string>({
  anyOf: [{ type: "integer" }, { type: "string" }],
  "x-kubernetes-int-or-string": true,
  description: "Number, or the name that a port of an interface has.",
});

const headerSchema = object({
  name: Type.String({ minLength: 1, maxLength: 256, description: "Name of the header." }),
  value: Type.String({ maxLength: 4096, description: "Its value." }),
});

const httpGetSchema = object(
  {
    port: portSchema,
    path: Type.Optional(Type.String({ maxLength: 4096, description: "Path of the request. Default: /." })),
    scheme: Type.Optional(choice(["HTTP", "HTTPS"], { description: "Default: HTTP." })),
    httpHeaders: Type.Optional(list(headerSchema, { maxItems: 32, description: "Headers of the request." })),
  },
  {
    description: "A GET that the guest answers with a status from 200 to 399.",
    refused: { host: later("string", "the guest itself is asked") },
  },
);

const tcpSocketSchema = object(
  { port: portSchema },
  {
    description: "A connection that the guest accepts.",
    refused: { host: later("string", "the guest itself is asked") },
  },
);

const execSchema = object(
  {
    command: list(Type.String({ maxLength: 4096, description: "The program, then an argument each." }), {
      minItems: 1,
      maxItems: 64,
      description: "Program in the guest, by its path, and its arguments; no shell is involved.",
    }),
  },
  { description: "A command that the guest agent runs in the guest, and that ends with status 0." },
);

const guestAgentPingSchema = object({}, { description: "A ping that the guest agent answers." });

const seconds = (minimum: number, description: string) =>
  Type.Optional(Type.Integer({ minimum, maximum: 86_400, format: "int32", description }));

const HANDLER =
  "[has(self.httpGet), has(self.tcpSocket), has(self.exec), has(self.guestAgentPing)].filter(it, it).size() == 1";

function probe(description: string, successes: { readonly maximum?: number }) {
  return object(
    {
      httpGet: Type.Optional(httpGetSchema),
      tcpSocket: Type.Optional(tcpSocketSchema),
      exec: Type.Optional(execSchema),
      guestAgentPing: Type.Optional(guestAgentPingSchema),
      initialDelaySeconds: seconds(0, "Seconds from the pod's start to the first attempt. Default: 0."),
      timeoutSeconds: seconds(1, "Seconds that an attempt may take. Default: 1."),
      periodSeconds: seconds(1, "Seconds from one attempt to the next. Default: 10."),
      successThreshold: Type.Optional(
        Type.Integer({
          minimum: 1,
          ...successes,
          format: "int32",
          description: "Successes in a row that count. Default: 1.",
        }),
      ),
      failureThreshold: Type.Optional(
        Type.Integer({
          minimum: 1,
          format: "int32",
          description: "Failures in a row that count. Default: 3.",
        }),
      ),
    },
    {
      description,
      rules: [{ rule: HANDLER, message: "a probe is one of httpGet, tcpSocket, exec and guestAgentPing" }],
    },
  );
}

export const readinessProbeSchema = probe(
  "When the guest is ready: as long as it succeeds, its VMI is Ready and Services send traffic to it. Default: as soon as the guest runs.",
  {},
);

export const livenessProbeSchema = probe(
  "Whether the guest lives: when it fails, the guest is shut down, and its VMI has failed. Give it the time that the guest needs to boot. Default: none.",
  { maximum: 1 },
);

export type GuestProbe = Data<typeof readinessProbeSchema>;
