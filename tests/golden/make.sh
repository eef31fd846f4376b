#!/usr/bin/env bash
# Makes the images of the records that luo_test reads (src/luo/golden_test.cc). For a new version only:
# what is here was written by the code of its time, and must be read for ever.
set -euo pipefail
cd "$(dirname "$0")/../.."
build/release/bin/luo_test --gtest_also_run_disabled_tests --gtest_filter=Golden.DISABLED_Make
