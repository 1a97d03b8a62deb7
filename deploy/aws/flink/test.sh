#!/bin/sh
# The job on Apache Flink's own jars (PyPI, 312 MB) and Java 17, in a virtual environment of its own.
#
#   deploy/aws/flink/test.sh [unittest arguments]
#
# EXAM_STREAM_BIN, EXAM_STREAM_SO and EXAM_ANALYSE_BIN name programs and extension.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
flink=2.2.1
venv=${XDG_CACHE_HOME:-$HOME/.cache}/exam-stream/flink-$flink

if ! { java -version 2>&1 | grep -q 'version "\(1[7-9]\|2[0-9]\)' && command -v javac >/dev/null; }; then
    echo "SKIPPED: NOT TESTED on Flink: there is no Java 17 or later (apt-get install openjdk-17-jdk-headless)"
    exit 0
fi
if ! [ -e "$venv/installed" ]; then
    echo "Installing Flink $flink (312 MB) and DuckDB from PyPI into $venv"
    rm -rf "$venv"
    # Its dependencies are those of Flink for Python; the jars need none.
    if ! python3 -m venv "$venv" ||
        ! "$venv/bin/pip" install -q --disable-pip-version-check --no-deps "apache-flink-libraries==$flink" duckdb==2.0.0; then
        rm -rf "$venv"
        echo "SKIPPED: NOT TESTED on Flink: it cannot be installed from PyPI"
        exit 0
    fi
    touch "$venv/installed"
fi
jars="$("$venv/bin/python" -c 'import pyflink, pathlib; print(pathlib.Path(pyflink.__path__[0]) / "lib")')/*"

classes=$(mktemp -d "${TMPDIR:-/tmp}/exam-stream-flink.XXXXXX")
trap 'rm -rf "$classes"' EXIT
javac --release 17 -Xlint:all,-processing -Werror -d "$classes" -cp "$jars" \
    "$here"/src/main/java/examstream/*.java "$here"/tests/*.java
java -cp "$classes:$jars" examstream.StreamTimeTest

JOB_CLASSES=$classes FLINK_JARS=$jars
export JOB_CLASSES FLINK_JARS
cd "$here/tests"
[ $# -gt 0 ] || set -- discover
code=0
"$venv/bin/python" - "$@" <<'PY' || code=$?
import sys
import unittest

program = unittest.main(module=None, argv=['test.sh', *sys.argv[1:]], exit=False, verbosity=2)
result = program.result
bad, skipped = len(result.failures) + len(result.errors), len(result.skipped)
print(f'{max(0, result.testsRun - bad - skipped)} passed, {bad} failed, {skipped} skipped', flush=True)
sys.exit(bad > 0)
PY
exit $code
