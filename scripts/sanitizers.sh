#!/usr/bin/env bash
# Builds everything with sanitizers and runs every test of behaviour, once a preset: what ctest
# prints last is the verdict. The first preset that fails is the last one.
#
#   JOBS=2 scripts/sanitizers.sh [PRESET...]      by default asan-ubsan tsan
set -euo pipefail
cd "$(dirname "$0")/.."
presets=("$@")
[[ ${#presets[@]} -gt 0 ]] || presets=(asan-ubsan tsan)
for preset in "${presets[@]}"; do
  PRESET=$preset BUILD=build/$preset scripts/build.sh all
  # What reads only the source says the same as without sanitizers; and nobody installs these.
  ctest --test-dir "build/$preset" -j"${JOBS:-$(nproc)}" -LE 'style|front' --output-on-failure --no-tests=error
done
