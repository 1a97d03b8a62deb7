#!/bin/sh
# The extension's suite: php-tests/run.sh [full] [phpunit options]
#
# `full` takes the two-minute outages at their real length. The extension and
# the program are built unless EXAM_STREAM_SO and EXAM_STREAM_BIN name them.
set -eu
cd "$(dirname "$0")"
root=$(cd .. && pwd)
target=${CARGO_TARGET_DIR:-$root/target}

if [ "${1:-}" = full ]; then
    export EXAM_STREAM_FULL=1
    shift
fi
if [ -z "${EXAM_STREAM_SO:-}" ]; then
    (cd "$root" && cargo build --release --workspace --exclude exam-analysis)
    EXAM_STREAM_SO=$target/release/libexam_stream.so
fi
export EXAM_STREAM_SO
export EXAM_STREAM_BIN="${EXAM_STREAM_BIN:-$target/release/exam-stream}"
exec phpunit -c phpunit.xml "$@"
