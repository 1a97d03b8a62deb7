#!/bin/sh
# ./dev bench put: what one exam_stream_put() costs, spool on a disk, syncing on,
# sender running against `exam-stream serve`. Arguments go to put.php.
#
# EXAM_STREAM_SO and EXAM_STREAM_BIN name the built extension and program.
# php-rdkafka is measured beside it where PHP has it (Debian: php-rdkafka; or
# RDKAFKA_SO names the file).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
so=${EXAM_STREAM_SO:-$target/release/libexam_stream.so}
program=${EXAM_STREAM_BIN:-$target/release/exam-stream}
php=${PHP:-php}

# A temporary directory on a disk: /tmp may be memory.
work=$(mktemp -d "${BENCH_TMP:-/var/tmp}/exam-stream-bench.XXXXXX")
server=
trap 'test -n "$server" && kill "$server" 2>/dev/null; rm -rf "$work"' EXIT INT TERM
case $(stat -f -c %T "$work") in
    tmpfs | ramfs) echo "put.sh: $work is in memory; set BENCH_TMP to a directory on a disk" >&2; exit 1 ;;
esac

endpoint=http://127.0.0.1:9
if [ -x "$program" ]; then
    "$program" serve --dir "$work/serve" --listen 127.0.0.1:0 --stream exam >"$work/url" 2>"$work/serve.log" &
    server=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        test -s "$work/url" && break
        sleep 0.2
    done
    endpoint=$(head -n 1 "$work/url")
else
    echo "put.sh: $program is not built: nothing will be delivered" >&2
fi

rdkafka=
if [ -n "${RDKAFKA_SO:-}" ]; then
    rdkafka="-d extension=$RDKAFKA_SO"
elif [ -e "$("$php" -r 'echo ini_get("extension_dir");')/rdkafka.so" ]; then
    rdkafka="-d extension=rdkafka"
else
    echo "put.sh: no php-rdkafka here (Debian: apt-get install php-rdkafka); measuring without it" >&2
fi

echo "machine: $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), $(stat -f -c %T "$work") at $work"
# shellcheck disable=SC2086 # options, not one word
"$php" -n -d "extension=$so" $rdkafka -d memory_limit=-1 \
    -d "exam_stream.endpoint=$endpoint" -d "exam_stream.spool_dir=$work/spool" -d exam_stream.log=off \
    "$root/bench/put.php" "$@"
