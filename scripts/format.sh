#!/usr/bin/env bash
# Formats every C and C++ source in place, with the clang-format whose result the test expects.
set -euo pipefail
cd "$(dirname "$0")/.."
formatter=$(command -v clang-format-14 || true)
[[ -n $formatter ]] || { echo "format: clang-format-14 is missing: apt-get install clang-format-14" >&2; exit 1; }
folders=()
for folder in src include examples tests bench; do
  [[ -d $folder ]] && folders+=("$folder")
done
find "${folders[@]}" -type f \( -name '*.cc' -o -name '*.h' -o -name '*.hpp' -o -name '*.c' \) -print0 |
  xargs -0 -r "$formatter" -i
