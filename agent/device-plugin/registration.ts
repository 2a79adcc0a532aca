/** Makes a plugin known to the kubelet. */
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { AgentError } from "../errors.ts";
import { API_VERSION, type Empty, type RegisterRequest, registrationService } from "./protocol.ts";

/** A stopped kubelet leaves its socket file behind, and a hung one accepts without answering. */
export const REGISTER_DEADLINE_MS = 5_000;

/**
 * Registers the plugin that listens on `endpoint`. The kubelet calls back to it before this returns, so it must serve
 * already.
 * @throws AgentError RegistrationFailed
 */
export async function register(kubeletSocket: string, endpoint: string, resourceName: string): Promise<void> {
  const request: RegisterRequest = {
    version: API_VERSION,
    endpoint,
    resourceName,
    options: { preStartRequired: false, getPreferredAllocationAvailable: false },
  };
  const client = new Client(`unix:${kubeletSocket}`, credentials.createInsecure(), {
    // Each registration must dial the socket file that is there now, not one that a shared channel knew.
    "grpc.use_local_subchannel_pool": 1,
  });
  const { path, requestSerialize, responseDeserialize } = registrationService.Register;
  try {
    await new Promise<void>((resolve, reject) => {
      client.makeUnaryRequest<RegisterRequest, Empty>(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        { deadline: Date.now() + REGISTER_DEADLINE_MS },
        (error: ServiceError | null) => (error === null ? resolve() : reject(error)),
      );
    });
  } catch (cause) {
    throw new AgentError("RegistrationFailed", `the kubelet did not register ${resourceName}`, { cause });
  } finally {
    client.close();
  }
}
