#!/bin/bash
# kv without outlived, against redis-cli and redis-benchmark. $1: the program.
set -eu
dir=$(mktemp -d)
kv=
cleanup() {
  [ -z "$kv" ] || { kill "$kv" 2>/dev/null && wait "$kv" 2>/dev/null; } || true
  rm -rf "$dir"
}
trap cleanup EXIT
fail() { echo "FAILED: $*"; exit 1; }
command -v redis-cli >/dev/null || fail "redis-cli is missing: package redis-tools"

mkfifo "$dir/out"
"$1" --standalone --port 0 --port-file "$dir/port" >"$dir/out" & kv=$!
read -r line <"$dir/out"            # comes when it serves
port=${line##*:}
[ "$(cat "$dir/port")" = "$port" ] || fail "port file and output differ"
cli() { redis-cli -p "$port" "$@"; }
expect() { # WANT COMMAND...
  local want=$1 got
  shift
  got=$(cli "$@")
  [ "$got" = "$want" ] || fail "$*: got '$got', not '$want'"
}
expect PONG ping
expect OK set greeting 'hello world'
expect 'hello world' get greeting
expect 1 incr n
expect 2 incr n
expect OK set n 5 ex 100
expect 100 ttl n
cli info | grep -q '^kv_version:2' || fail "no version in INFO"

# A value that comes in many portions, and goes out in many.
head -c 3000000 /dev/urandom | base64 -w0 >"$dir/big"
[ "$(cli -x set big <"$dir/big")" = OK ] || fail "big value"
cli get big | cmp - <(cat "$dir/big"; echo) || fail "the big value came back changed"

# 10,000 pipelined requests of one connection.
for i in $(seq 10000); do printf '*2\r\n$4\r\nINCR\r\n$1\r\nc\r\n'; done | cli --pipe | tail -1 |
  grep -q 'errors: 0, replies: 10000' || fail "pipeline"
expect 10000 get c

redis-benchmark -p "$port" -c 200 -n 100000 -t get,set,incr,mset,ping -P 4 -r 1000 -q >"$dir/bench" 2>&1 ||
  fail "redis-benchmark: $(cat "$dir/bench")"
! grep -i error "$dir/bench" || fail "redis-benchmark saw errors"
kill -0 "$kv" || fail "kv died"
expect OK flushall
expect 0 dbsize
echo "standalone: OK"
