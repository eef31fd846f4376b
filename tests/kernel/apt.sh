# Sourced by build-kernel.sh and build-systemd.sh: Debian's packages of another suite, through apt with lists,
# sources and packages of our own. The machine's package sources stay as they are, its other settings (a proxy)
# count, and no root is needed.
#
#   apt=FOLDER        where all of it is kept
#   apt_options=(...) what else apt is told
#   apt_begin SUITE   its lists, from the mirror that the machine uses already
#   version=$(apt_version PACKAGE)   the newest; empty: there is none
#   own_apt apt-get ARGUMENT...      Dir::Cache is $apt
#
# Who sources it has `die WORDS`, which ends the script.
# shellcheck shell=bash disable=SC2154
set -euo pipefail
apt_options=()

own_apt() {
  local program=$1
  shift
  "$program" -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/sources" \
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt" -o APT::Sandbox::User= "${apt_options[@]}" \
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

# The base address of the machine's own mirror: where this release's main packages are from.
apt_mirror() {
  local codename
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # The variables are apt's.
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' |
    awk -v wanted="$codename" '$1 == wanted {print $2; exit}'
}

apt_begin() {
  local suite=$1 from keys=/usr/share/keyrings/debian-archive-keyring.gpg
  command -v apt-get >/dev/null || die "no apt-get: only a Debian system can fetch packages"
  from=$(apt_mirror)
  [[ -n $from ]] || die "the machine's apt sources name no mirror of this Debian's main packages"
  mkdir -p "$apt/sources" "$apt/lists/partial"
  {
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$from" "$suite"
    [[ ! -r $keys ]] || printf 'Signed-By: %s\n' "$keys"
  } >"$apt/sources/$suite.sources"
  own_apt apt-get update -qq >&2 || die "can't read the package lists of $suite"
}

apt_version() { own_apt apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p'; }
