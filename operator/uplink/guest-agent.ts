/** Checks what a guest's agent told its launcher, on its way through two peers that need not be honest either. */
import {
  type AccessCredentialsStatus,
  type GuestAgentStatus,
  type GuestInterface,
  type GuestOsInfo,
  MAX_GUEST_ONLY_INTERFACES,
} from "../../api/guest-agent.ts";
import { list, object, optionalText, sentence, text } from "./fields.ts";

const MAX_OWN_INTERFACES = 16;
const MAX_ADDRESSES = 16;

/** @throws OperatorError MalformedStatus naming the field */
export function parseGuestAgent(value: unknown): GuestAgentStatus {
  const { os, interfaces, frozen, unsupported } = object(value, "guestAgent");
  const max = MAX_OWN_INTERFACES + MAX_GUEST_ONLY_INTERFACES;
  return {
    interfaces: list(interfaces, "guestAgent.interfaces", max).map(parseInterface),
    frozen: frozen === true,
    ...(os === undefined ? {} : { os: parseOsInfo(os) }),
    ...(unsupported === undefined ? {} : { unsupported: sentence(unsupported, "guestAgent.unsupported") }),
  };
}

/** @throws OperatorError MalformedStatus naming the field */
export function parseAccessCredentials(value: unknown): AccessCredentialsStatus {
  const { synchronized, message } = object(value, "accessCredentials");
  return { synchronized: synchronized === true, message: sentence(message, "accessCredentials.message") };
}

function parseOsInfo(value: unknown): GuestOsInfo {
  const os = object(value, "guestAgent.os");
  const field = (name: keyof GuestOsInfo) => optionalText(os, name, "guestAgent.os");
  return {
    ...field("name"),
    ...field("kernelRelease"),
    ...field("version"),
    ...field("prettyName"),
    ...field("versionId"),
    ...field("kernelVersion"),
    ...field("machine"),
    ...field("id"),
  };
}

function parseInterface(value: unknown): GuestInterface {
  const iface = object(value, "guestAgent.interfaces[]");
  return {
    interfaceName: text(iface["interfaceName"], "guestAgent.interfaces[].interfaceName"),
    ipAddresses: list(iface["ipAddresses"], "guestAgent.interfaces[].ipAddresses", MAX_ADDRESSES).map(
      (address) => text(address, "guestAgent.interfaces[].ipAddresses[]"),
    ),
    ...optionalText(iface, "macAddress", "guestAgent.interfaces[]"),
  };
}
