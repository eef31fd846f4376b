#!/usr/bin/env bash
# Runs every fuzz target (tests/fuzz) with ASan and UBSan.
#
#   FUZZ_SECONDS=60 JOBS=2 scripts/fuzz.sh [TARGET...]
#
# FUZZ_SECONDS is for each target; JOBS of them run at once. Starts from the kept corpus, which is only
# read; what is new, and what was found, is kept below build/fuzz. Ends with one line; exit 0: no
# finding.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-60}
jobs=${JOBS:-$(nproc)}
build=build/fuzz
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: FUZZ_SECONDS=$seconds is no number of seconds" >&2; exit 2; }

targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
  for file in tests/fuzz/fuzz_*.cc; do
    target=${file##*/fuzz_}
    targets+=("${target%.cc}")
  done
fi

PRESET=fuzz BUILD=$build JOBS=$jobs scripts/build.sh fuzz_programs
mkdir -p $build/findings

# One target; its log ends in libFuzzer's statistics.
fuzz_one() {
  local target=$1
  mkdir -p "$build/corpus/$target"
  # Leaks are looked for at the end of each input by ASan; a request for 2 GiB is a finding.
  "$build/bin/fuzz_$target" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=2048 -max_len=65000 \
    -print_final_stats=1 -artifact_prefix="$build/findings/$target-" \
    "$build/corpus/$target" "tests/fuzz/corpus/$target" >"$build/$target.log" 2>&1 ||
    touch "$build/$target.failed"
}
export -f fuzz_one
export build seconds

rm -f $build/*.failed
printf '%s\n' "${targets[@]}" |
  xargs -P "$jobs" -I{} bash -c 'fuzz_one {}'

executions=0
findings=0
for target in "${targets[@]}"; do
  count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$target.log")
  executions=$((executions + ${count:-0}))
  if [[ -e $build/$target.failed ]]; then
    findings=$((findings + 1))
    echo "fuzz: $target: a finding:"
    grep -E 'CHECK failed|after an attach|SUMMARY|runtime error|Test unit written|ERROR:' "$build/$target.log" |
      head -5 | sed 's/^/  /' || true
    echo "  log: $build/$target.log"
  else
    echo "fuzz: $target: ${count:-0} executions"
  fi
done
echo "fuzz: ${#targets[@]} targets, $executions executions, $findings findings"
[[ $findings -eq 0 ]]
