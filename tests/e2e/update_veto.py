"""A veto, or no answer in time, of either side at each step: rolled back with the reason."""

from harness import main
from rolled_back import rolled_back


def test(world):
    rolled_back(world, [
        ([], ["--at", "start=veto"], "the successor vetoed start: told to veto start"),
        (["--at", "prepare=veto"], [], "the old one vetoed prepare: told to veto prepare"),
        (["--at", "freeze=veto"], [], "the old one vetoed freeze: told to veto freeze"),
        ([], ["--at", "adopt=veto"], "the successor vetoed adopt: told to veto adopt"),
        ([], ["--at", "start=hang"], "the successor did not answer start in time",
         ["--ready-timeout", "1s"]),
        ([], ["--at", "adopt=hang"], "the successor did not answer offer in time"),
    ], "[update]\nadopt-timeout-ms = 3000\n")


main(test)
