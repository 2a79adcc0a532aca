/** What a VMI's status says of addresses that its guest isn't given. Pure. */
import type { LauncherStatus } from "../../api/launcher-protocol.ts";
import type { WantedCondition } from "./conditions.ts";

/** No condition where the guest has what the pod has. */
export function addressConditions({ interfaces }: LauncherStatus): WantedCondition[] {
  const withheld = interfaces.filter(({ withheldAddresses = [] }) => withheldAddresses.length > 0);
  if (withheld.length === 0) return [];
  const listed = withheld.map(
    ({ name, withheldAddresses = [] }) => `${withheldAddresses.join(", ")} (interface ${name})`,
  );
  return [
    {
      type: "AddressesHandedOver",
      status: "False",
      reason: "IPv6NotHandedOver",
      message:
        `the guest is not given the pod's ${listed.join(", ")}: IPv6 reaches a guest on a bridge where the pod ` +
        "network's routers advertise it, and behind masquerade unless the address is in fd10:0:2::/120",
    },
  ];
}
