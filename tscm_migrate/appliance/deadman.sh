#!/bin/sh
# Keeps this appliance off its addresses (IPv4 and IPv6) during a migration, and restores them by itself unless the
# migration is confirmed: after SECONDS, and only if duplicate-address detection finds no host at ADDRESS.
#
#   deadman.sh FOLDER INTERFACE ADDRESS RESCUE/LENGTH SECONDS [booted]
#
# Files in FOLDER: addresses and routes (as they were), release.sh, state (armed, away, confirmed), deadline (of the
# uptime, which changes of the clock do not affect), boot-entry (a cron file that starts this script after a restart,
# with `booted`: then the addresses of the saved settings are removed as soon as they appear, and the time starts from
# the beginning). Commands from outside are files: go, extend (seconds), confirmed, return. RESCUE is a link-local
# address by which the new appliance reaches this one. Events are logged to /var/log/tscm-migrate.log and to syslog.
set -u
# cron sets a short PATH; folders that the caller has put before the system's programs stay first
PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
folder=$1 interface=$2 address=$3 rescue=$4 seconds=$5 booted=${6:-}
again=10 # seconds between two tries to come back
patience=$seconds
# after another host had the address: seconds for which it must be free, because that host may be restarting
[ "$patience" -le 600 ] || patience=600
last_seen=
v6=/proc/sys/net/ipv6/conf/$interface
cd "$folder" || exit 1
trap '' HUP INT

say() {
    echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $*" >>/var/log/tscm-migrate.log
    logger -t tscm-migrate -- "$*" 2>/dev/null || :
}
mark() { printf '%s\n' "$1" >state.part && mv state.part state; }
uptime() {
    read -r now _ </proc/uptime
    echo "${now%%.*}"
}
until_then() { echo "$(($(uptime) + $1))" >deadline.part && mv deadline.part deadline; }

# A restart would restore the address of the saved settings: cron then starts this script again.
survive() {
    entry=$(cat boot-entry 2>/dev/null) && [ -n "$entry" ] && [ -s again.sh ] || return 0
    printf '@reboot root sh %s/again.sh\n' "$folder" >"$entry.part" && chmod 644 "$entry.part" && mv "$entry.part" "$entry"
}

save() {
    ip -4 -o addr show dev "$interface" scope global |
        sed -n 's/.* inet \([0-9./]*\)\( brd \([0-9.]*\)\)\{0,1\} .*/\1 \3/p' >addresses
    ip -4 route show dev "$interface" | grep -v 'proto kernel' | sed 's/ linkdown//' >routes
    # IPv6: configured addresses; those that routers announce return by themselves
    cat "$v6/disable_ipv6" >ipv6-off 2>/dev/null || echo 1 >ipv6-off
    ip -6 -o addr show dev "$interface" scope global 2>/dev/null | grep -v ' dynamic' |
        sed -n 's/.* inet6 \([0-9a-fA-F:./]*\) .*/\1/p' >addresses6
    ip -6 route show dev "$interface" 2>/dev/null | grep -v -e 'proto kernel' -e 'proto ra' -e '^fe80::' |
        sed -e 's/ linkdown//' -e 's/ pref [a-z]*//' >routes6
    [ -s addresses ] || [ -s addresses6 ]
}

ipv6() { [ "$(cat ipv6-off 2>/dev/null)" != 0 ] || echo "$1" >"$v6/disable_ipv6"; }

away() {
    ip -4 addr flush dev "$interface" scope global
    ip addr add "$rescue" dev "$interface" scope link 2>/dev/null
    ipv6 1 # removes all IPv6 addresses, and prevents new ones
}

# 0: a host has our address; 1: no host has it; 2: unknown
other_host() {
    case $address in *:*) other_host6; return ;; esac
    if arping -V 2>&1 | grep -qi iputils; then
        arping -q -D -c 3 -w 4 -I "$interface" "$address" >/dev/null 2>&1
        case $? in 0) return 1 ;; 1) return 0 ;; esac
    fi
    # the kernel sends ARP requests, from the link-local address
    ip route replace "$address/32" dev "$interface" src "${rescue%/*}" 2>/dev/null || return 2
    ip neigh flush to "$address" dev "$interface" 2>/dev/null
    ping -c 3 -W 1 "$address" >/dev/null 2>&1
    heard=$?
    found=$(ip neigh show to "$address" dev "$interface" 2>/dev/null)
    ip route del "$address/32" dev "$interface" 2>/dev/null
    [ "$heard" != 0 ] || return 0
    case $found in *lladdr*) return 0 ;; *FAILED* | *INCOMPLETE*) return 1 ;; esac
    return 2
}

# The same for IPv6: the kernel sends neighbour solicitations before it uses an address.
other_host6() {
    [ "$(cat "$v6/dad_transmits" 2>/dev/null || echo 0)" -gt 0 ] || return 2
    [ "$(cat "$v6/accept_dad" "$v6/../all/accept_dad" 2>/dev/null | sort -n | tail -n 1)" -gt 0 ] || return 2
    ipv6 0
    ip -6 addr add "$address/128" dev "$interface" 2>/dev/null
    found=2
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.5 2>/dev/null || sleep 1
        case $(ip -6 -o addr show dev "$interface" to "$address") in
        *dadfailed*) found=0 && break ;;
        *tentative*) ;;
        *inet6*) found=1 && break ;;
        esac
    done
    ip -6 addr del "$address/128" dev "$interface" 2>/dev/null
    ipv6 1
    return "$found"
}

back() {
    ipv6 0
    entry=$(cat boot-entry 2>/dev/null) && [ -n "$entry" ] && rm -f "$entry"
    while read -r cidr broadcast; do
        ip addr add "$cidr" ${broadcast:+broadcast "$broadcast"} dev "$interface"
    done <addresses
    while read -r route; do
        # shellcheck disable=SC2086 # a route has many words
        ip route replace $route dev "$interface"
    done <routes
    while read -r cidr; do
        ip -6 addr add "$cidr" dev "$interface"
    done <addresses6
    while read -r route; do
        # shellcheck disable=SC2086
        ip -6 route replace $route dev "$interface"
    done <routes6
    ip addr del "$rescue" dev "$interface" 2>/dev/null
    case $address in *:*) ;; *)
    arping -q -U -c 2 -w 2 -I "$interface" "$address" >/dev/null 2>&1 & # announce the address
    ;; esac
    sh ./release.sh >>/var/log/tscm-migrate.log 2>&1 || say "releasing the updates failed: see $folder"
    say "back at $address, $1"
}

try() { # $1: the reason; $2: seconds for which no other host may have had the address
    other_host
    found=$?
    now=$(uptime)
    if [ "$found" = 1 ] && [ $((now - ${last_seen:-0})) -ge "$2" ]; then
        back "$1"
        cd /
        [ -s "$folder/keep" ] || rm -rf "$folder"
        exit 0
    fi
    case $found in
    0) last_seen=$now && say "another host has $address: staying offline" ;;
    2) say "it is not known whether another host has $address: staying offline" ;;
    esac
    until_then "$again"
}

arm() {
    save || { mark "failed: no address on $interface"; exit 1; }
    until_then "$seconds"
    mark armed
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ ! -e go ] || break
        sleep 1
    done
    [ -e go ] || { mark "failed: the start signal did not come"; exit 1; }
    survive
    sleep 0.3 2>/dev/null || sleep 1 # so that the session that gave the signal ends first
}

main() {
    pause=1 looks=0
    echo $$ >pid
    if [ "$booted" = booted ]; then
        until_then "$seconds" && pause=0.1
    else
        arm
    fi
    away
    mark away
    say "off the network for a migration; back in $seconds s unless it is confirmed"
    while [ "$(cat pid 2>/dev/null)" = $$ ]; do # until a later timer has replaced this one
        if [ -e return ]; then
            rm -f return
            try "as requested" 0
        elif [ -e confirmed ]; then
            [ "$(cat state)" = confirmed ] || { mark confirmed && say "confirmed: staying offline"; }
        else
            if [ -s extend ]; then
                until_then "$(cat extend)" && rm -f extend
            fi
            [ "$(uptime)" -lt "$(cat deadline)" ] || try "the migration was not confirmed" "$([ -z "$last_seen" ] && echo 0 || echo "$patience")"
        fi
        # a DHCP client or a network manager may have added the address again
        if ip -o addr show dev "$interface" scope global | grep -q inet; then
            say "an address appeared on $interface: removed again"
            away
        fi
        looks=$((looks + 1))
        [ "$looks" -lt 1200 ] || pause=1 # the network may come up late in a boot
        sleep $pause 2>/dev/null || sleep 1
    done
}

main
