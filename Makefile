# outlive: the front door. Everything is built by CMake; this file only names the things to do.
#
# JOBS  how many compilers and tests run at once (default: one a CPU)
# BUILD where everything is built (default: build/release)
# YES=1 install missing packages without asking

BUILD ?= build/release
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
export BUILD PREFIX DESTDIR JOBS YES

.PHONY: help demo test test-sanitizers fuzz test-kernel crash-matrix mutants back-to-back self-updates abi-diff hostile bench bench-kernel build deb install uninstall format clean

help:
	@echo 'make demo       build, then show a service that is updated again and again under load'
	@echo 'make test       build, then run every test'
	@echo 'make test-sanitizers   the same with ASan and UBSan, then with TSan'
	@echo 'make fuzz       every fuzz target with ASan and UBSan, FUZZ_SECONDS=60 each (clang 19)'
	@echo 'make test-kernel       build a kernel with LUO, and test in virtual machines (docs/kernel-tests.md)'
	@echo 'make crash-matrix      kill everything everywhere, fail every system call once (SEED=n; docs/testing.md)'
	@echo 'make mutants    build with planted bugs, and see that the tests catch every one'
	@echo 'make back-to-back       COUNT=1000 updates in a row under load'
	@echo 'make self-updates       COUNT=1000 replacements of outlived by itself in a row under load'
	@echo 'make abi-diff   the same requests to a real kernel and to outlive compat (SEED=n REQUESTS=n)'
	@echo 'make hostile    a hostile user: every attempt, floods, descriptors that block; others latency meanwhile'
	@echo 'make bench      build, then measure, beside limits and peers (15 minutes; QUICK=1: 3)'
	@echo 'make bench-kernel      a kexec, ours beside the kernel, by sessions and bytes, emulated (QUICK=1: 1 MiB only)'
	@echo 'make build      build everything, run nothing'
	@echo 'make deb        build the Debian packages, in $(BUILD)/deb'
	@echo 'make install    install below PREFIX=$(PREFIX) (DESTDIR= for packagers)'
	@echo 'make uninstall  remove what make install has installed there'
	@echo 'make format     format the sources (clang-format-14)'
	@echo 'make clean      remove $(BUILD)'
	@echo
	@echo 'What builds lists the Debian packages that are missing first, and installs them: it asks once'
	@echo 'on a terminal; with YES=1, or without a terminal, it does not ask.'

demo:
	@scripts/deps.sh build demo
	@scripts/build.sh demo_programs
	@python3 tests/demo/demo.py --bin-dir $(BUILD)/bin --html $(BUILD)/demo-timeline.html

test:
	@scripts/deps.sh build deb test
	@scripts/build.sh all
	@ctest --test-dir $(BUILD) -j$(JOBS) --output-on-failure --no-tests=error

test-sanitizers:
	@scripts/deps.sh build test
	@scripts/sanitizers.sh

# FUZZ_SECONDS: of each target.
fuzz:
	@scripts/deps.sh build fuzz
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz.sh

# The kernel is built once and kept (docs/kernel-tests.md says where).
test-kernel:
	@scripts/deps.sh build kernel
	@tests/kernel/build-kernel.sh >/dev/null
	@tests/kernel/build-systemd.sh >/dev/null || echo 'no systemd for the machine: kernel.systemd is skipped'
	@scripts/build.sh kernel_programs
	@ctest --test-dir $(BUILD) -C kernel -L '^kernel$$' -j$(JOBS) --output-on-failure --no-tests=error

# The counts of the three are their own last lines; the last one is the matrix's.
crash-matrix:
	@scripts/deps.sh build test
	@scripts/build.sh crash_programs
	@OUTLIVE_STEP_KILLS=0 $(BUILD)/bin/single_step_test --gtest_brief=1
	@python3 -B tests/crash/syscall_faults.py $(BUILD)/bin $(if $(SEED),--seed $(SEED))
	@python3 -B tests/crash/crash_matrix.py $(BUILD)/bin $(if $(SEED),--seed $(SEED))

# A build of its own, with planted bugs: never installed, never tested otherwise.
mutants:
	@scripts/deps.sh build test
	@PRESET=mutants BUILD=build/mutants scripts/build.sh mutants_programs
	@python3 -B tests/mutants/mutants.py build/mutants/bin

COUNT ?= 1000
back-to-back:
	@scripts/deps.sh build test
	@scripts/build.sh outlived outlive_command
	@COUNT=$(COUNT) python3 -B tests/e2e/back_to_back.py $(BUILD)/bin

self-updates:
	@scripts/deps.sh build test
	@scripts/build.sh outlived outlive_command
	@COUNT=$(COUNT) python3 -B tests/e2e/self_update.py $(BUILD)/bin

abi-diff:
	@scripts/deps.sh build kernel
	@tests/kernel/build-kernel.sh >/dev/null
	@scripts/build.sh kernel_programs
	@python3 -B tests/abi/abi_diff.py $(BUILD)/bin $(if $(SEED),--seed $(SEED)) $(if $(REQUESTS),--requests $(REQUESTS))

hostile:
	@scripts/deps.sh build test
	@scripts/build.sh demo_programs
	@OUTLIVE_FULL=1 python3 -B tests/e2e/blocking_fds.py $(BUILD)/bin
	@OUTLIVE_FULL=1 python3 -B tests/e2e/hostile.py $(BUILD)/bin

bench:
	@scripts/deps.sh build bench
	@scripts/build.sh demo_programs bench_programs
	@python3 bench/bench.py --bin-dir $(BUILD)/bin --json $(BUILD)/bench.json $(if $(QUICK),--quick)

bench-kernel:
	@scripts/deps.sh build kernel
	@tests/kernel/build-kernel.sh >/dev/null
	@scripts/build.sh kernel_programs
	@python3 -B tests/kernel/bench_kernel.py $(BUILD)/bin $(if $(QUICK),--quick) $(if $(INSTRUCTIONS),--count)

build:
	@scripts/deps.sh build
	@scripts/build.sh all

deb:
	@scripts/deps.sh build deb
	@scripts/build.sh outlived outlive_command liboutlive
	@scripts/deb.sh

install: build
	@scripts/install.sh

uninstall:
	@scripts/uninstall.sh

format:
	@scripts/format.sh

clean:
	@rm -rf $(BUILD)
