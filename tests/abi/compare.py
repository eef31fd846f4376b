"""Compares what two sides said, line by line."""

import dataclasses
from collections import Counter

import exceptions as listed


@dataclasses.dataclass
class Difference:
    index: int    # of the sequence
    kernel: int   # of the phase
    at: int       # of the request in its phase
    request: object
    one: str
    other: str

    def __str__(self):
        return (f"{self.request.kind}: {self.request.line(self.index)}\n"
                f"    kernel: {self.one}\n    compat: {self.other}")


@dataclasses.dataclass
class Comparison:
    differences: list
    compared: int
    excepted: Counter  # by the exception's name
    skipped: int       # behind an exception that ends its sequence
    kinds: Counter     # (kind, first word of the result)


def first_word(text):
    """What it came to: "ok", "EBUSY"; of what a child did, too."""
    words = text.removeprefix("child: ").split()
    return words[0] if words else ""


def compare(sequences, one, other, exceptions=None):
    """At most one difference a sequence: what comes behind may be a consequence of it."""
    exceptions = listed.EXCEPTIONS if exceptions is None else exceptions
    result = Comparison([], 0, Counter(), 0, Counter())
    for index, sequence in enumerate(sequences):
        compare_one(index, sequence, one, other, exceptions, result)
    return result


def compare_one(index, sequence, one, other, exceptions, result):
    left = sequence.requests()
    for kernel, requests in sequence.phases:
        for at, request in enumerate(requests):
            key = (index, kernel, at + 1)  # line 0 is the agent's "seq"
            here, there = one.get(key, "(nothing)"), other.get(key, "(nothing)")
            if here != there or here == "(nothing)":
                found = next((e for e in exceptions if e.applies(request, here, there)), None)
                if found is None:
                    result.differences.append(Difference(index, kernel, at, request, here, there))
                    return
                result.excepted[found.name] += 1
                if found.ends_sequence:
                    result.skipped += left
                    return
            left -= 1
            result.compared += 1
            result.kinds[request.kind, first_word(here)] += 1
