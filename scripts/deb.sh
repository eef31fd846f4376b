#!/usr/bin/env bash
# Makes the Debian packages of what scripts/build.sh has built, and prints their files.
#
#   BUILD=build/release OUT=build/release/deb scripts/deb.sh
#
# Maintainer: DEBFULLNAME and DEBEMAIL, else who builds. With SOURCE_DATE_EPOCH the same build
# gives the same packages.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "${BUILD:-build/release}")
out=${OUT:-$build/deb}

for tool in cpack dpkg-shlibdeps file; do
  command -v "$tool" >/dev/null || { echo "deb: $tool is missing (scripts/packages-deb.txt)" >&2; exit 1; }
done
mkdir -p "$out"
log=$out/cpack.log
rm -f "$out"/*.deb
# Modes of folders are those of Debian, whoever builds.
(umask 022 && cpack --config "$build/CPackConfig.cmake" -B "$out") >"$log" 2>&1 || {
  cat "$log" >&2
  exit 1
}
rm -rf "$out/_CPack_Packages"
ls -1 "$out"/*.deb
