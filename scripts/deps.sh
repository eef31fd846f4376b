#!/usr/bin/env bash
# Checks that the Debian packages of the steps named are installed, and installs those missing.
#
#   scripts/deps.sh build demo        reads scripts/packages-{build,demo}.txt
#
# Lists what is missing and what it is for. On a terminal it asks once; with YES=1, or without a
# terminal, it installs. An ordinary user needs sudo (used when it works without a question, or on
# a terminal); without it, the apt-get line to run is printed and the exit code is 1.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)

say() { printf 'deps: %s\n' "$*" >&2; }

# The lines "package  # what for" of the steps, each package once.
wanted() {
  local step
  for step in "$@"; do
    [[ -r $here/packages-$step.txt ]] || { say "no list scripts/packages-$step.txt"; exit 2; }
    grep -vE '^[[:space:]]*(#|$)' "$here/packages-$step.txt"
  done | awk '!seen[$1]++'
}

# Of the lines on stdin, those whose package isn't installed.
missing() {
  local line package
  while IFS= read -r line; do
    package=${line%%[[:space:]]*}
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true) == installed ]] ||
      printf '%s\n' "$line"
  done
}

# Prints the command prefix that makes us root, or fails.
root_prefix() {
  if [[ $(id -u) == 0 ]]; then
    echo env
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 && -t 2 ]]; }; then
    echo sudo env
  else
    return 1
  fi
}

main() {
  [[ $# -gt 0 ]] || { say "usage: scripts/deps.sh STEP..."; exit 2; }
  local lines absent packages answer prefix
  lines=$(wanted "$@")
  if ! command -v dpkg-query >/dev/null; then
    say "this isn't a Debian system; going on, and hoping these are there: $(awk '{print $1}' <<<"$lines" | xargs)"
    return 0
  fi
  absent=$(missing <<<"$lines")
  [[ -n $absent ]] || return 0
  say "missing Debian packages:"
  printf '  %s\n' "${absent//$'\n'/$'\n'  }" >&2
  read -ra packages <<<"$(awk '{print $1}' <<<"$absent" | xargs)"

  if ! prefix=$(root_prefix); then
    say "installing needs root. Run this as root, then try again:"
    say "  apt-get update && apt-get install --no-install-recommends ${packages[*]}"
    exit 1
  fi
  if [[ ${YES:-} != 1 && -t 0 && -t 2 ]]; then
    read -rp "deps: install them now? [Y/n] " answer
    [[ ${answer:-y} =~ ^[Yy] ]] || { say "nothing installed"; exit 1; }
  fi
  local -a as_root
  read -ra as_root <<<"$prefix"
  as_root+=(DEBIAN_FRONTEND=noninteractive)
  # Old lists may name versions that the mirror doesn't have any more: refreshing comes first. It
  # may fail for a foreign source that isn't ours to judge; then the install decides.
  "${as_root[@]}" apt-get update -q </dev/null >&2 || say "apt-get update failed; trying to install all the same"
  if ! "${as_root[@]}" apt-get install -yq --no-install-recommends "${packages[@]}" </dev/null >&2; then
    say "apt-get could not install: ${packages[*]}"
    exit 1
  fi
  say "installed: ${packages[*]}"
}

main "$@"
