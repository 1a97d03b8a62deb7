# shellcheck shell=sh disable=SC2154 # the variables are those of dev
# The whole path for 30 seconds, beside a peer: read by ./dev bench path, whose
# functions and servers it uses. $1: seconds.
#
# One PHP process puts 200-byte records; they are durable in its spool, signed,
# and delivered to `exam-stream serve`, which checks the signature and
# acknowledges after fdatasync. Spool and cold storage are on a disk:
# in $BENCH_TMP, or /var/tmp, because /tmp may be memory.

path_run() { # TITLE SECONDS WAY
    echo
    echo "$1"
    start_serve
    php_settings path
    case $3 in
    off) settings="$settings -d exam_stream.state_url=" ;;
    esac
    if [ "$3" = peer ]; then
        php bench/path.php blocking "$2" exam "$endpoint" 2>"$work/sent"
    else
        # shellcheck disable=SC2086 # a list of -d options
        php $settings bench/path.php put "$2" exam 2>"$work/sent"
    fi
    sent=$(tail -n 1 "$work/sent")
    case $sent in '' | *[!0-9]*) cat "$work/sent" >&2; fail "the run broke off" ;; esac
    # Ended first: it compresses files meanwhile.
    stop_last
    php -d memory_limit=512M bench/path.php count "$work/server/cold" "$sent"
    rm -rf "$work/server" "$work/spool-path"
}

path_bench() {
    seconds=${1:-30}
    TMPDIR=${BENCH_TMP:-/var/tmp}
    begin
    case $(stat -f -c %T "$work") in
    tmpfs | ramfs) fail "$work is in memory: set BENCH_TMP to a directory on a disk" ;;
    esac
    start_redis
    echo "200-byte records from one PHP process, $seconds s, $(nproc) cores, PHP $(php -r 'echo PHP_VERSION;')"
    path_run 'exam_stream_put_many(), 100 a call, write-through off' "$seconds" off
    path_run 'exam_stream_put_many(), 100 a call, write-through on (Redis)' "$seconds" on
    path_run 'Peer: PutRecord as in Figure 2, signed, waited for' "$((seconds / 3 + 1))" peer
}
