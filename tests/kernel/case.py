"""What every test here starts from: a machine that has booted, and a folder that goes away.

    from case import main
    def test(machine): ...
    main(test)                 # python3 thing.py BIN_DIR; exit 0 passed, 77 skipped, 1 failed
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

from machine import QEMU, Machine, Missing

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77


def find_kernel():
    """The kernel's folder; None: nobody has built one."""
    done = subprocess.run([os.path.join(HERE, "build-kernel.sh"), "--cached"], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return done.stdout.strip() if done.returncode == 0 else None


def stop(*_):
    raise KeyboardInterrupt  # ctest's time-out, Ctrl-C: still end what we started


def run(test, machine):
    try:
        machine.boot()
        test(machine)
        machine.power_off()
        return 0
    except BaseException as error:  # whatever it was: say it, show the console
        traceback.print_exc()
        print(f"FAILED: {error}\n--- the console's end ---", file=sys.stderr)
        print("\n".join(machine.console_text().splitlines()[-60:]), file=sys.stderr)
        return 1
    finally:
        machine.close()


def main(test, make=Machine):
    """`make`: what makes the machine, called as Machine is; Missing: why there can't be one."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} BIN_DIR")
    signal.signal(signal.SIGTERM, stop)
    kernel = find_kernel()
    if not kernel or not shutil.which(QEMU):
        print(f"skipped: {'no ' + QEMU if kernel else 'no kernel: make test-kernel builds it'}")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory(prefix="outlive-kernel-") as folder:
        try:
            machine = make(kernel, folder, sys.argv[1])
        except Missing as why:
            print(f"skipped: {why}")
            sys.exit(SKIPPED)
        code = run(test, machine)
    sys.exit(code)
