#!/usr/bin/env bash
# Removes the files that scripts/install.sh has installed, and the folders that this empties.
#
#   PREFIX=/usr/local DESTDIR= scripts/uninstall.sh
#
# Leaves alone what outlive's users made: /etc/outlive, the runtime folder, logs.
set -euo pipefail
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}
list=$root$prefix/share/outlive/installed-files

if [[ ! -r $list ]]; then
  echo "uninstall: nothing was installed there: $list is missing (wrong PREFIX or DESTDIR?)" >&2
  exit 1
fi
mapfile -t files <"$list"
removed=0
for file in "${files[@]}"; do
  # A damaged list must not make us remove what isn't ours.
  [[ $file == "$prefix"/* && $file != *..* ]] || { echo "uninstall: skipped '$file'" >&2; continue; }
  if [[ -e $root$file || -L $root$file ]]; then
    rm -f -- "$root$file"
    removed=$((removed + 1))
  fi
done
# Only folders that carry our name are ours to remove; the shared ones (bin, lib) stay.
for file in "${files[@]}"; do
  folder=$(dirname "$file")
  while [[ $folder == "$prefix"/*outlive* ]]; do
    rmdir --ignore-fail-on-non-empty -- "$root$folder" 2>/dev/null || true
    folder=$(dirname "$folder")
  done
done
echo "removed $removed files below $root$prefix"
