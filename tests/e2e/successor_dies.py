"""The successor dies, or hangs up, at each step before commit: rolled back."""

from harness import main
from rolled_back import rolled_back


def test(world):
    rolled_back(world, [
        ([], ["--at", "start=die"], "signal 9"),
        ([], ["--at", "start=exit"], "exit code 3"),
        ([], ["--at", "adopt=die"], "at offer"),
        ([], ["--at", "retrieved=die"], "at offer"),
        ([], ["--at", "adopt=hangup"], "closed its connection"),
    ])


main(test)
