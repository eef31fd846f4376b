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

# The base address of the machine's own mirror: where this release's main packages are from.
mirror() {
  local codename
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # The variables are apt's.
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' |
    awk -v wanted="$codename" '$1 == wanted {print $2; exit}'
}

# apt for a machine that has no package at all: with everything that systemd depends on.
own_apt() {
  local program=$1
  shift
  "$program" -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/sources" \
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt" -o Dir::State::status="$apt/status" \
    -o APT::Sandbox::User= -o APT::Install-Recommends=false -o Debug::NoLocking=true \
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

# Brings the packages into $apt/archives; sets version.
fetch() {
  local from keys=/usr/share/keyrings/debian-archive-keyring.gpg
  command -v apt-get >/dev/null || die "no apt-get: only a Debian system can fetch packages"
  from=$(mirror)
  [[ -n $from ]] || die "the machine's apt sources name no mirror of this Debian's main packages"
  rm -rf "$apt/archives"
  mkdir -p "$apt/sources" "$apt/lists/partial" "$apt/archives/partial"
  : >"$apt/status"
  {
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$from" "$suite"
    [[ ! -r $keys ]] || printf 'Signed-By: %s\n' "$keys"
  } >"$apt/sources/$suite.sources"
  say "looking for systemd in $suite"
  own_apt apt-get update -qq >&2 || die "can't read the package lists of $suite"
  version=$(own_apt apt-cache show --no-all-versions systemd 2>/dev/null | sed -n 's/^Version: //p')
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
