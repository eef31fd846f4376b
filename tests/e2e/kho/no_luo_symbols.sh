#!/bin/sh
# no_luo_symbols.sh PROGRAM [NM]: fails when the program has a symbol of luo/.
set -eu
symbols=$("${2:-nm}" -C "$1")
if ! echo "$symbols" | grep -q 'outlive::kho::'; then
  echo "$1: no symbol of outlive::kho either: is it stripped?"
  exit 1
fi
if echo "$symbols" | grep 'outlive::luo'; then
  echo "$1: kho/ needs luo/"
  exit 1
fi
