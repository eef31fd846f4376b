"""examples/liveupdate.py, thirty lines for the kernel's interface, counts over two reboots."""

import os
import subprocess
import sys

from harness import HERE, PATIENCE, equal
from liveupdate import main

EXAMPLE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "examples", "liveupdate.py")


def test(world):
    with open(EXAMPLE) as file:
        equal(len(file.readlines()) <= 30, True, "it has thirty lines")
    os.makedirs(world.runtime, exist_ok=True)
    for count in (1, 2, 3):
        process = subprocess.Popen([world.program("outlive"), "compat", "--device", "d", "--",
                                    sys.executable, EXAMPLE], env=world.environment, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        world.popen.append(process)
        equal(process.stdout.readline(), f"kernel {count}\n", "the counter")
        world.must("compat", "--device", "d", "--reboot")
        process.communicate(timeout=PATIENCE)
        equal(process.returncode, 0, "the example")
    world.must("compat", "--device", "d", "--stop")


if __name__ == "__main__":
    main(test)
