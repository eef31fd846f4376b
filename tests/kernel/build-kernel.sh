#!/usr/bin/env bash
# Makes the small kernel with LUO that the tests boot, from Debian's package of the kernel's source,
# and prints the folder that it is in. One that is there already is taken as it is.
#
#   tests/kernel/build-kernel.sh [--cached] [--newest]
#
#   --cached  build nothing: exit 3 when there is none
#   --newest  look for a newer source package also when a kernel is there
#
# The folder, ${XDG_CACHE_HOME:-~/.cache}/outlive/kernel/VERSION-HASH (HASH: of luo-kernel.config and
# of `recipe` below), appears by one rename, when all in it is there and has been looked at:
#   bzImage  config  version  selftests/{liveupdate,kho}  include/ (the kernel's headers for programs)
# What a killed build leaves, VERSION-HASH.building (3 GB), is removed by the next one.
# Beside it stay the source package (160 MB) and package lists of our own. Nothing else is written, and
# the machine's package sources stay as they are: no root is needed.
#
# JOBS: how many compilers run at once (default: one a CPU).
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC1091
source "$here/apt.sh"
fragment=$here/luo-kernel.config
package=linux-source-7.3
suite=trixie-backports
# One higher when what is kept, or how it is built, changes: then older kernels aren't taken any more.
recipe=1

say() { printf 'kernel: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The folder of all that is kept; CI's user may have a HOME that isn't there.
cache_folder() {
  local folder=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/outlive
  mkdir -p "$folder/kernel" 2>/dev/null || true
  [[ -w $folder/kernel ]] || die "can't write to $folder: set XDG_CACHE_HOME to a folder with 4 GB"
  echo "$folder"
}

config_hash() { { echo "recipe $recipe $package"; cat "$fragment"; } | sha256sum | cut -c1-12; }

# The newest whole one of this recipe, if any.
find_cached() { find "$cache/kernel" -mindepth 1 -maxdepth 1 -type d -name "*-$hash" | sort -V | tail -n 1; }

# Brings the source package into $apt/source; sets version and deb.
fetch() {
  say "looking for $package in $suite"
  apt_begin "$suite"
  version=$(apt_version "$package")
  [[ -n $version ]] || die "$suite has no package $package"
  deb=$apt/source/${package}_$version.deb
  [[ ! -e $deb ]] || return 0
  say "fetching $package $version"
  rm -rf "$apt/source" "$apt/fetching"
  mkdir -p "$apt/fetching"
  # apt checks its digest against the signed list before it has this name.
  (cd "$apt/fetching" && own_apt apt-get download -qq "$package" >&2) ||
    die "can't fetch $package"
  mkdir "$apt/source"
  mv "$apt/fetching"/*.deb "$deb"
  rmdir "$apt/fetching"
}

# The source, below $work/tree.
unpack() {
  local tar
  say "unpacking"
  dpkg -x "$deb" "$work/package"
  tar=$(find "$work/package/usr/src" -name 'linux-source-*.tar.xz' | head -n 1)
  [[ -n $tar ]] || die "$package $version holds no source"
  mkdir "$work/tree"
  # Large, and read by no build of ours.
  tar -C "$work/tree" --strip-components=1 --exclude='*/drivers/gpu/drm/amd/include' \
    --exclude='*/arch/*/boot/dts' --exclude='*/Documentation/devicetree' -xf "$tar"
  rm -rf "$work/package"
}

# make, with its words in a log: a line for every 250 of them, and their end when it fails.
quietly_make() {
  make -C "$work/tree" "${tools[@]}" "$@" 2>&1 </dev/null | tee -a "$work/log" |
    awk 'NR % 250 == 0 {print "kernel: " NR " steps" > "/dev/stderr"}' || {
    tail -n 25 "$work/log" >&2
    die "make $* failed"
  }
}

# Every line of our fragment is in the configuration: a renamed option would be dropped silently.
check_config() {
  local line bad=0
  while IFS= read -r line; do
    case $line in
      CONFIG_* | '# CONFIG_'*) ;;
      *) continue ;;
    esac
    # Off may also mean: not even asked for.
    if [[ $line == '#'* ]]; then
      ! grep -q "^$(awk '{print $2}' <<<"$line")=" "$work/tree/.config" || { say "not as wanted: $line"; bad=1; }
    else
      grep -qxF "$line" "$work/tree/.config" || { say "not as wanted: $line"; bad=1; }
    fi
  done <"$fragment"
  [[ $bad == 0 ]] || die "luo-kernel.config doesn't fit this kernel"
}

build() {
  local jobs=${JOBS:-$(nproc)}
  # The same every time: for ccache, and for whoever compares two of them.
  export KBUILD_BUILD_TIMESTAMP='1970-01-01' KBUILD_BUILD_USER=outlive KBUILD_BUILD_HOST=outlive
  tools=()
  if command -v ccache >/dev/null && ccache --version >/dev/null 2>&1; then
    tools=(CC='ccache gcc' HOSTCC='ccache gcc')
    export CCACHE_BASEDIR=$work
  fi
  quietly_make tinyconfig
  (cd "$work/tree" && scripts/kconfig/merge_config.sh -m .config "$fragment") >>"$work/log" 2>&1 ||
    die "can't merge luo-kernel.config"
  quietly_make olddefconfig
  check_config
  say "building with $jobs jobs (4 minutes on two CPUs that have nothing else to do)"
  quietly_make -j"$jobs" bzImage
  quietly_make headers
}

# Puts what is kept into $work/kept, and looks at it.
collect() {
  local tests=$work/tree/tools/testing/selftests kept=$work/kept
  mkdir -p "$kept/selftests"
  cp "$work/tree/arch/x86/boot/bzImage" "$kept/bzImage"
  cp "$work/tree/.config" "$kept/config"
  cp -a "$tests/liveupdate" "$tests/kho" "$kept/selftests/"
  cp "$tests"/kselftest*.h "$kept/selftests/"
  cp -a "$work/tree/usr/include" "$kept/include"
  echo "$version" >"$kept/version"
  [[ -s $kept/bzImage && -r $kept/include/linux/liveupdate.h ]] || die "the build made no kernel"
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
  apt=$cache/apt
  hash=$(config_hash)
  found=$(find_cached)
  if [[ $newest == 0 && -n $found ]]; then echo "$found"; return 0; fi
  [[ $cached_only == 0 ]] || { say "there is none yet: make test-kernel builds it"; exit 3; }

  # Two at once: the second waits, and then finds what the first has built.
  exec 9>"$cache/kernel/lock"
  flock -n 9 || { say "somebody else is building one: waiting"; flock 9; }
  found=$(find_cached)
  if [[ $newest == 0 && -n $found ]]; then echo "$found"; return 0; fi
  fetch
  local target=$cache/kernel/$version-$hash
  if [[ ! -d $target ]]; then
    work=$target.building
    rm -rf "$cache"/kernel/*.building
    mkdir "$work"
    trap 'rm -rf -- "$work"' EXIT
    unpack
    build
    collect
    mv -T "$work/kept" "$target"
    say "built $version in $SECONDS s"
  fi
  echo "$target"
}

main "$@"
