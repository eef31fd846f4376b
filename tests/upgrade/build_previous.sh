#!/usr/bin/env bash
# build_previous.sh FOLDER: builds outlived and outlive of the version before, which tests/upgrade/previous
# names (a git revision), in FOLDER: FOLDER/bin. Exit code 77: there is no git history to take it from.
set -euo pipefail
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
folder=$1
revision=$(grep -v '^#' "$source_dir/tests/upgrade/previous")
hash=$(git -C "$source_dir" -c safe.directory="$source_dir" rev-parse --verify --quiet "$revision^{commit}") || {
  echo "skipped: no git history with $revision"
  exit 77
}
if [[ $(cat "$folder/built" 2>/dev/null) == "$hash" ]]; then
  echo "$hash is built already"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/source"
git -C "$source_dir" -c safe.directory="$source_dir" archive "$hash" | tar -x -C "$folder/source"
launcher=()
if command -v ccache > /dev/null; then
  launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_C_COMPILER_LAUNCHER=ccache)
fi
cmake -S "$folder/source" -B "$folder/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  "-DCMAKE_CXX_FLAGS_RELEASE=-O1" "${launcher[@]}" > "$folder/log"
cmake --build "$folder/build" --target outlived outlive_command >> "$folder/log"
ln -sfn "$folder/build/bin" "$folder/bin"
echo "$hash" > "$folder/built"
