#!/usr/bin/env bash
# Installs what scripts/build.sh has built, and keeps the list of files for scripts/uninstall.sh.
#
#   PREFIX=/usr/local DESTDIR= BUILD=build/release scripts/install.sh
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
build=${BUILD:-build/release}
list=share/outlive/installed-files

[[ $prefix == /* ]] || { echo "install: PREFIX must be an absolute path, not '$prefix'" >&2; exit 2; }
DESTDIR=${DESTDIR:-} cmake --install "$build" --prefix "$prefix" >&2
install -d "${DESTDIR:-}$prefix/share/outlive"
{ cat "$build/install_manifest.txt"; printf '\n%s\n' "$prefix/$list"; } | sed '/^$/d' >"${DESTDIR:-}$prefix/$list"
chmod 644 "${DESTDIR:-}$prefix/$list"
# The dynamic linker finds a new library in a folder of its own list through its cache.
if [[ -z ${DESTDIR:-} && $(id -u) == 0 && $prefix =~ ^/usr(/local)?$ ]]; then
  ldconfig
fi
echo "installed $(wc -l <"${DESTDIR:-}$prefix/$list") files below ${DESTDIR:-}$prefix"
