#!/bin/sh
# Configures an interface as busybox's DHCP client was told (its environment), option 121 before option 3.
set -e
case "$1" in
deconfig) ip address flush dev "$interface" ;;
bound | renew)
  ip address replace "$ip/$mask" dev "$interface"
  [ -z "$mtu" ] || ip link set dev "$interface" mtu "$mtu"
  if [ -n "$staticroutes" ]; then
    # shellcheck disable=SC2086 # pairs of words
    set -- $staticroutes
    while [ $# -ge 2 ]; do
      if [ "$2" = 0.0.0.0 ]; then ip route replace "$1" dev "$interface"; else ip route replace "$1" via "$2" dev "$interface"; fi
      shift 2
    done
  else
    ip route replace default via "$router" dev "$interface"
  fi
  ;;
esac
