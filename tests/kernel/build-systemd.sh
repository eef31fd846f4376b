#!/usr/bin/env bash
# Makes the files of a small system with systemd as PID 1, from Debian's packages, and prints the folder
# that they are in. One that is there already is taken as it is.
#
#   tests/kernel/build-systemd.sh [--cached] [--newest]
#
#   --cached  fetch nothing: exit 3 when there is none
#   --newest  look for newer packages also when there are some
#
# The folder, ${XDG_CACHE_HOME:-~/.cache}/outlive/systemd/VERSION-RECIPE, appears by one rename:
#   tree/ (what the virtual machine has as its root)  version (of the package systemd)
# Packages and package lists of our own stay beside it, in apt-systemd. Nothing is installed, nothing of
# the packages is executed here, and the machine's package sources stay as they are: no root is needed.
set -euo pipefail
export LC_ALL=C
# shellcheck disable=SC1091
source "$(dirname "$0")/apt.sh"
# The newest systemd: what a host gets next. What it needs comes from there, too.
suite=sid
# One higher when what is kept changes: then older ones aren't taken any more.
recipe=1

say() { printf 'systemd: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

cache_folder() {
  local folder=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/outlive
  mkdir -p "$folder/systemd" 2>/dev/null || true
  [[ -w $folder/systemd ]] || die "can't write to $folder: set XDG_CACHE_HOME to a folder with 100 MB"
  echo "$folder"
}

find_cached() {
  find "$cache/systemd" -mindepth 1 -maxdepth 1 -type d -name "*-$recipe" | sort -V | tail -n 1
}

# Brings the packages into $apt/archives; sets version.
fetch() {
  say "looking for systemd in $suite"
  rm -rf "$apt/archives"
  mkdir -p "$apt/archives/partial"
  : >"$apt/status"
  # As for a machine that has no package at all: with everything that systemd depends on.
  # shellcheck disable=SC2034
  apt_options=(-o Dir::State::status="$apt/status" -o APT::Install-Recommends=false -o Debug::NoLocking=true)
  apt_begin "$suite"
  version=$(apt_version systemd)
  [[ -n $version ]] || die "$suite has no package systemd"
  say "fetching systemd $version and what it depends on (11 MB)"
  own_apt apt-get install -y -qq --download-only systemd >&2 || die "can't fetch systemd $version"
}

# The packages' files, less what nobody reads in there, and the folders that a system has.
fill() {
  local tree=$1 deb folder
  mkdir -p "$tree"
  for deb in "$apt"/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$tree" --no-same-owner --no-same-permissions
  done
  rm -rf "$tree"/usr/share/{doc,man,locale,bash-completion,zsh,i18n,bug,lintian,polkit-1} \
    "$tree"/usr/lib/x86_64-linux-gnu/gconv "$tree"/usr/lib/systemd/{boot,catalog}
  for folder in dev proc sys run tmp var root host etc/systemd/system; do mkdir -p "$tree/$folder"; done
  for folder in bin sbin lib lib64; do
    mkdir -p "$tree/usr/$folder"
    [[ -e $tree/$folder ]] || ln -s "usr/$folder" "$tree/$folder"
  done
  ln -s usr/lib/systemd/systemd "$tree/init"
  [[ -x $tree/usr/lib/systemd/systemd && -x $tree/usr/bin/systemctl ]] || die "no systemd in $tree"
}

main() {
  local option cached_only=0 newest=0 found
  for option in "$@"; do
    case $option in
      --cached) cached_only=1 ;;
      --newest) newest=1 ;;
      *) die "unknown option: $option" ;;
    esac
  done
  cache=$(cache_folder)
  apt=$cache/apt-systemd
  found=$(find_cached)
  if [[ $newest == 0 && -n $found ]]; then echo "$found"; return 0; fi
  [[ $cached_only == 0 ]] || { say "there is none yet: make test-kernel fetches it"; exit 3; }

  # Two at once: the second waits, and then finds what the first has made.
  exec 9>"$cache/systemd/lock"
  flock 9
  found=$(find_cached)
  if [[ $newest == 0 && -n $found ]]; then echo "$found"; return 0; fi
  fetch
  local target=$cache/systemd/$version-$recipe
  if [[ ! -d $target ]]; then
    work=$target.building
    rm -rf "$cache"/systemd/*.building
    trap 'rm -rf -- "$work"' EXIT
    fill "$work/tree"
    echo "$version" >"$work/version"
    mv -T "$work" "$target"
  fi
  echo "$target"
}

main "$@"
