#!/bin/sh
# Builds the function for arm64 and runs its tests against that build, under QEMU.
#
# Needs, on Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static, and
# `rustup target add aarch64-unknown-linux-gnu`.
set -eu
cd "$(dirname -- "$0")/../../.."
target=aarch64-unknown-linux-gnu
for tool in aarch64-linux-gnu-gcc qemu-aarch64-static; do
    command -v "$tool" >/dev/null || { echo "arm64.sh: $tool is missing: see the head of this file" >&2; exit 1; }
done
[ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] ||
    { echo "arm64.sh: no standard library for $target: rustup target add $target" >&2; exit 1; }
CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER
cargo build --release --package exam-lambda --target $target
built=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/$target/release/bootstrap
runner=$(mktemp)
trap 'rm -f "$runner"' EXIT
printf '#!/bin/sh\nexec qemu-aarch64-static -L /usr/aarch64-linux-gnu %s "$@"\n' "$built" >"$runner"
chmod +x "$runner"
EXAM_LAMBDA_BIN=$runner cargo test --release --workspace --exclude exam-analysis --test function -- "$@"
