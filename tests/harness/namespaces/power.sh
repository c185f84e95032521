#!/bin/sh
# shutdown, reboot, poweroff, halt and systemctl of an appliance: one program under five names.
# The control pipe of pid 1 is root's alone, as with the real ones.
name=${0##*/}
say() {
    [ -w /run/initctl ] || { echo "$name: Operation not permitted: must be superuser." >&2; exit 1; }
    printf '%s\n' "$*" > /run/initctl
}
running() { [ -s "/run/lab.$1" ] && [ -d "/proc/$(cat "/run/lab.$1")" ]; }
unit() { u=${1%.service}; case $u in sshd) u=ssh;; crond) u=cron;; esac; echo "$u"; }
case $name in
reboot) say reboot ;;
poweroff|halt) say poweroff ;;
shutdown)
    action=poweroff; when=
    for word do
        case $word in
        -r|--reboot) action=reboot ;;
        -h|-P|-H|--poweroff|--halt) action=poweroff ;;
        -c) say cancel; exit 0 ;;
        -*) ;;
        *) [ -n "$when" ] || when=$word ;;
        esac
    done
    case ${when:-+1} in
    now|+0|0) say "$action" ;;
    +[0-9]*|[0-9]*)
        minutes=${when:-+1}
        say "$action $((${minutes#+} * 60))"
        echo "Shutdown scheduled, use 'shutdown -c' to cancel." >&2 ;;
    *) echo "Failed to parse time specification: $when" >&2; exit 1 ;;
    esac ;;
systemctl)
    quiet=
    verb=
    while [ $# -gt 0 ]; do
        case $1 in -q|--quiet) quiet=1 ;; -*) ;; *) verb=$1; shift; break ;; esac
        shift
    done
    for word do case $word in -q|--quiet) quiet=1; shift ;; -*) shift ;; esac; done
    case $verb in
    reboot) say reboot ;;
    poweroff|halt) say poweroff ;;
    is-system-running) echo running ;;
    is-active)
        if running "$(unit "$1")"; then word=active status=0; else word=inactive status=3; fi
        [ -n "$quiet" ] || echo "$word"
        exit "$status" ;;
    start|stop|restart|reload)
        for one do say "$verb $(unit "$one")"; done ;;
    *) echo "$name: $verb: not in this lab" >&2; exit 1 ;;
    esac ;;
esac
