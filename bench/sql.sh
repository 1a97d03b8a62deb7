#!/bin/sh
# How many events a second the paper's Figure 3 takes: ./dev bench sql [COUNT]
#
# A made exam (answers of 10,000 students over three hours, 335 bytes a line, up to ten seconds out
# of order) lies in cold storage as lines; `exam-analyse run --once` reads, parses, deduplicates,
# sorts, sums and writes all windows. The second figure leaves out the time in which windows waited
# for parsed lines, which are read on other threads. `resident` is watched while it runs: it must
# not grow with the stream.
set -eu
cd "$(dirname -- "$0")/.."
: "${EXAM_ANALYSE_BIN:?the program}" "${MADE_EXAM_BIN:?the example made_exam}"
count=${1:-10000000}
work=$(mktemp -d "${TMPDIR:-/tmp}/exam-sql.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/queries"
cp queries/student_status.sql "$work/queries"
"$MADE_EXAM_BIN" "$work" "$count"
echo "$count events, $(du -sh "$work/cold" | cut -f1) of lines, $(nproc) processors, $(uptime | sed 's/.*load/load/')"
began=$(date +%s.%N)
"$EXAM_ANALYSE_BIN" run --once --cold "$work" --queries "$work/queries" 2>"$work/log" &
pid=$!
while kill -0 $pid 2>/dev/null; do
    sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" >>"$work/resident" 2>/dev/null || :
    sleep 0.5
done
wait $pid || { cat "$work/log"; exit 1; }
ended=$(date +%s.%N)
python3 - "$work" "$count" "$began" "$ended" <<'PY'
import json, sys
work, count, began, ended = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
status = json.load(open(f"{work}/results/_status.json"))
query = status["queries"]["student_status"]
assert status["events"] == count and status["late"] == 0, status
took = ended - began
resident = [int(line) / 1024 for line in open(f"{work}/resident") if line.strip()]
print(f"{query['windows']} windows of {query['rows']} rows")
print(f"from lines to results   {took:6.2f} s  {count / took / 1e6:5.2f} M events/s")
print(f"windows alone           {status['working_s']:6.2f} s  {count / status['working_s'] / 1e6:5.2f} M events/s")
half = len(resident) // 2
print(f"resident, MB            first half at most {max(resident[:half] or [0]):.0f}, second half {max(resident[half:]):.0f}")
PY
