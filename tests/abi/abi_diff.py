"""The same requests to a real kernel's /dev/liveupdate and to `outlive compat`'s: every answer the same.

    python3 tests/abi/abi_diff.py BIN_DIR [--seed N] [--requests N]

Without --seed it runs twice: with a fixed seed, and with a fresh one, which it prints. Each run ends in one
line: OK or FAILED. Exit 77: no kernel.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import time

from compare import compare
from coverage import missing, table
from exceptions import EXCEPTIONS, MOST
from generator import generate
from rows import all_rows
from shrink import shrink
from sides import Compat, Failed, RealKernel

FIXED = 1       # the seed that every run without one begins with
SHOWN = 20      # differences that are printed, one of a kind
SHRUNK = 3      # and made short
BATCH = 11_500  # requests a machine: what its sessions hold must fit its memory and descriptors


def batches(sequences):
    batch, size = [], 0
    for sequence in sequences:
        batch.append(sequence)
        size += sequence.requests()
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def different_kinds(found):
    """One difference of each kind of request and pair of results."""
    chosen = {}
    for sequences, difference in found:
        key = (difference.request.kind, difference.one.split(" @")[0][:20], difference.other.split(" @")[0][:20])
        chosen.setdefault(key, (sequences[difference.index], difference))
    return list(chosen.values())


def report(found, kernel, compat):
    kinds = different_kinds(found)
    print(f"\n{len(found)} sequences differ, in {len(kinds)} ways:")
    for number, (sequence, difference) in enumerate(kinds[:SHOWN]):
        print(f"\n{number + 1}. {difference}")
        if number >= SHRUNK:
            continue
        short, again = shrink(sequence, kernel, compat)
        if again is None:
            print("    alone it doesn't differ: the sequences before it in its batch matter")
            continue
        print(f"shrunk to {short.requests()} requests (abi-agent SCRIPT, once for each kernel):")
        print(short.by_hand())
        print(f"  {again}", flush=True)


def run(kernel, compat, seed, requests):
    sequences = list(all_rows())
    # Some more than asked for: what stands behind some exceptions isn't compared.
    sequences += generate(seed, int(requests * 1.1) - sum(sequence.requests() for sequence in sequences))
    found, total = [], None
    for number, batch in enumerate(batches(sequences)):
        begun = time.monotonic()
        one = kernel.run(batch)
        between = time.monotonic()
        result = compare(batch, one, compat.run(batch))
        print(f"batch {number + 1}: {result.compared} requests of {len(batch)} sequences the same, "
              f"{len(result.differences)} differ; kernel {between - begun:.0f} s, "
              f"compat {time.monotonic() - between:.0f} s", flush=True)
        found += [(batch, difference) for difference in result.differences]
        total = result if total is None else add(total, result)
    return found, total


def add(one, other):
    one.compared += other.compared
    one.skipped += other.skipped
    one.excepted += other.excepted
    one.kinds += other.kinds
    return one


def conclude(found, total, seed, kernel, compat):
    print(table(total.kinds))
    for exception in EXCEPTIONS:
        print(f"exception {exception.name}: {total.excepted[exception.name]} times. {exception.reason} "
              f"({exception.source})")
    if found:
        report(found, kernel, compat)
    gaps = missing(total.kinds)
    for gap in gaps:
        print(f"never happened: {gap}")
    good = not found and not gaps
    print(f"abi-diff: {'OK' if good else 'FAILED'} seed {seed}: {total.compared} requests compared, "
          f"{len(found)} differences, {sum(total.excepted.values())} excepted "
          f"({total.skipped} requests behind them not compared)")
    return 0 if good else 1


def one_run(kernel, compat, seed, requests):
    print(f"seed {seed}, {requests} requests", flush=True)
    try:
        return conclude(*run(kernel, compat, seed, requests), seed, kernel, compat)
    except Failed as error:
        print(f"abi-diff: FAILED seed {seed}: {error}")
        return 1


def stop(*_):
    raise KeyboardInterrupt  # a time-out, Ctrl-C: still end what we started


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--requests", type=int, default=20_000)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    from case import QEMU, find_kernel  # tests/kernel
    folder = find_kernel()
    if not folder or not shutil.which(QEMU):
        print("skipped: no kernel or no QEMU: make test-kernel builds the one and installs the other")
        return 77
    if len(EXCEPTIONS) > MOST:
        print(f"FAILED: {len(EXCEPTIONS)} exceptions, more than {MOST}")
        return 1
    fresh = random.SystemRandom().randrange(1 << 31)
    kernel, compat = RealKernel(folder, os.path.abspath(options.bin_dir)), Compat(options.bin_dir)
    codes = [one_run(kernel, compat, seed, options.requests)
             for seed in ([FIXED, fresh] if options.seed is None else [options.seed])]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
