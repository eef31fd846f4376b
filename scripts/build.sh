#!/usr/bin/env bash
# Configures and builds the targets named, by default all of them.
#
#   PRESET=release BUILD=build/release JOBS=2 scripts/build.sh [TARGET...]
#
# Writes only below $BUILD, and into ccache's own folder where that can be written.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${PRESET:-release}
build=${BUILD:-build/$preset}
jobs=${JOBS:-$(nproc)}

say() { printf 'build: %s\n' "$*" >&2; }

# ccache needs a folder: the user's own, or, for a user without a home, one of this build.
ccache_folder() {
  local folder=${CCACHE_DIR:-}
  [[ -n $folder ]] || folder=$(ccache --get-config=cache_dir 2>/dev/null || true)
  if [[ -n $folder ]] && mkdir -p "$folder" 2>/dev/null && [[ -w $folder ]]; then
    echo "$folder"
  else
    realpath "$build/ccache"
  fi
}

# The preset names ccache and mold; a machine without them builds too, only slower.
extra=()
if ccache --version >/dev/null 2>&1; then
  mkdir -p "$build"
  CCACHE_DIR=$(ccache_folder)
  export CCACHE_DIR
else
  say "no ccache: building without it"
  extra+=(-DCMAKE_CXX_COMPILER_LAUNCHER= -DCMAKE_C_COMPILER_LAUNCHER=)
fi
if ! mold --version >/dev/null 2>&1; then
  say "no mold: linking with the compiler's own linker"
  extra+=(-DCMAKE_EXE_LINKER_FLAGS= -DCMAKE_SHARED_LINKER_FLAGS=)
fi

for tool in cmake ninja g++; do
  command -v "$tool" >/dev/null || { say "$tool is missing (scripts/packages-build.txt)"; exit 1; }
done

say "configuring $build"
cmake --preset "$preset" -B "$build" --log-level=NOTICE "${extra[@]}" >&2
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(all)
say "building ${targets[*]} with $jobs jobs (the first time takes minutes)"
NINJA_STATUS='[%f/%t %es] ' cmake --build "$build" --parallel "$jobs" --target "${targets[@]}" >&2
