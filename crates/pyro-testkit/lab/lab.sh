#!/bin/bash
# A host and the world outside, in network namespaces of their own, until standard input ends.
# Started by `unshare --net --mount`; arguments: directory, routes (both, ipv4, ipv6, none), resolver.
set -eu
directory=$1 routes=$2 resolver=$3
here=$(dirname "$(readlink -f "$0")")

ip link set lo up
coproc OUTSIDE { exec unshare --net python3 "$here/servers.py" outside "$directory/heard"; }
read -r _ <&"${OUTSIDE[0]}" # it is in its namespace
outside() { nsenter --target "$OUTSIDE_PID" --net -- "$@"; }

# Nobody else is on this wire: no address waits to be found unique.
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
outside sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'
ip link add host0 type veth peer name world0 netns "$OUTSIDE_PID"
outside ip link set lo up
for address in 198.51.100.53 198.51.100.80 169.254.169.254; do outside ip address add "$address/32" dev lo; done
for address in 2001:db8:80::53 2001:db8:80::80; do outside ip address add "$address/128" dev lo; done
outside ip address add 10.9.0.2/24 dev world0
outside ip address add 2001:db8:9::2/64 dev world0 nodad
outside ip link set world0 up
ip address add 10.9.0.1/24 dev host0
case $routes in both | ipv6) ip address add 2001:db8:9::1/64 dev host0 nodad ;; esac
ip link set host0 up
# The kernel hears of the wire's other end a moment later, and then gives the link its own address,
# without which passt does no IPv6.
until ip -6 address show dev host0 scope link | grep -q inet6; do sleep 0.01; done
case $routes in
both) ip route add default via 10.9.0.2; ip -6 route add default via 2001:db8:9::2 ;;
ipv4) ip route add default via 10.9.0.2 ;;
ipv6) ip -6 route add default via 2001:db8:9::2 ;;
esac

printf 'nameserver %s\nsearch outside.test\n' "$resolver" >"$directory/resolv.conf"
mount --bind "$directory/resolv.conf" /etc/resolv.conf

echo serve >&"${OUTSIDE[1]}"
read -r _ <&"${OUTSIDE[0]}"
coproc HOST { exec python3 "$here/servers.py" host "$directory/heard"; }
read -r _ <&"${HOST[0]}"
echo serve >&"${HOST[1]}"
read -r _ <&"${HOST[0]}"
echo ready
cat >/dev/null
