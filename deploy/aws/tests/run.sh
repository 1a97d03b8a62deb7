#!/bin/sh
# The tests of the template and of deploy.sh, with linters from PyPI in a virtual environment of their own.
#
#   deploy/aws/tests/run.sh [unittest arguments]
#
# EXAM_STREAM_BIN names the program, for the test of the cache's user.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/exam-stream/aws-tests

# Made again when what is asked for has changed.
if ! cmp -s "$here/requirements.txt" "$venv/installed"; then
    echo "Installing cfn-lint, checkov and others from PyPI into $venv"
    rm -rf "$venv"
    if ! python3 -m venv "$venv" || ! "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"; then
        rm -rf "$venv"
        echo "SKIPPED: the AWS template is NOT TESTED: its linters cannot be installed from PyPI"
        exit 0
    fi
    cp "$here/requirements.txt" "$venv/installed"
fi

cd "$here"
[ $# -gt 0 ] || set -- discover
exec "$venv/bin/python" - "$@" <<'PY'
import sys
import unittest

program = unittest.main(module=None, argv=['run.sh', *sys.argv[1:]], exit=False, verbosity=1)
result = program.result
bad, skipped = len(result.failures) + len(result.errors), len(result.skipped)
print(f'{max(0, result.testsRun - bad - skipped)} passed, {bad} failed, {skipped} skipped', flush=True)
sys.exit(bad > 0)
PY
