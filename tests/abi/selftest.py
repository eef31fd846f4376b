"""Tests of abi-diff itself, without a virtual machine: compat stands on both sides.

    python3 tests/abi/selftest.py BIN_DIR
"""

import sys
import unittest
from collections import Counter

from compare import compare
from coverage import ROWS, missing
from exceptions import EXCEPTIONS, MOST, Excepted
from generator import generate
from rows import all_rows
from shrink import shrink
from sides import Compat

BIN = sys.argv.pop(1)
SEED, REQUESTS = 1, 3000


def all_lines(sequences):
    return [line for number, sequence in enumerate(sequences) for kernel in (1, 2, 3)
            for line in sequence.lines(kernel, number)]


class Generator(unittest.TestCase):
    def test_a_seed_is_a_run(self):
        self.assertEqual(all_lines(generate(7, 500)), all_lines(generate(7, 500)))
        self.assertNotEqual(all_lines(generate(7, 500)), all_lines(generate(8, 500)))

    def test_it_makes_as_many_as_are_asked_for(self):
        made = sum(sequence.requests() for sequence in generate(7, 500))
        self.assertTrue(500 <= made < 700, made)

    def test_names_are_a_sequences_own(self):
        names = [request.line(5) for sequence in all_rows() for _, requests in sequence.phases
                 for request in requests if "{id}" in request.text]
        self.assertTrue(names)
        self.assertTrue(all("0005".encode().hex() in name and "{id}" not in name for name in names))


class OneRun(unittest.TestCase):
    """One run of compat, looked at from several sides."""

    @classmethod
    def setUpClass(cls):
        cls.sequences = list(all_rows()) + generate(SEED, REQUESTS)
        cls.said = Compat(BIN).run(cls.sequences)

    def compared(self, other, exceptions=()):
        return compare(self.sequences, self.said, other, exceptions)

    def test_every_request_is_answered(self):
        result = self.compared(self.said)
        self.assertEqual(result.differences, [])
        self.assertEqual(result.compared, sum(sequence.requests() for sequence in self.sequences))

    def test_a_second_run_is_the_same(self):
        self.assertEqual([str(d) for d in self.compared(Compat(BIN).run(self.sequences)).differences], [])

    def test_every_row_occurs(self):
        kinds = self.compared(self.said).kinds
        self.assertEqual(missing(kinds), [])
        for row in ROWS:
            less = Counter(kinds)
            del less[row]
            self.assertEqual(len(missing(less)), 1, row)

    def test_no_request_is_unknown_to_the_agent(self):
        self.assertEqual([text for text in self.said.values() if "unknown request" in text], [])

    def test_a_planted_difference_is_found(self):
        for key, text in list(self.said.items())[5::997]:
            if key[2] == 0 or text in ("end", "keep"):
                continue
            (found,) = self.compared({**self.said, key: text + "!"}).differences
            self.assertEqual((found.index, found.kernel, found.at + 1), key)

    def test_an_answer_that_is_missing_is_found(self):
        key = next(key for key in self.said if key[2] == 3)
        less = {k: text for k, text in self.said.items() if k != key}
        self.assertEqual(len(self.compared(less).differences), 1)
        self.assertEqual(len(compare(self.sequences, less, less, ()).differences), 1, "on both sides")

    def test_an_exception_counts_and_may_end_its_sequence(self):
        sequence = next(n for n, s in enumerate(self.sequences) if s.requests() > 5)
        key = (sequence, self.sequences[sequence].phases[0][0], 3)
        other = {**self.said, key: "!"}
        for ends in (False, True):
            result = self.compared(other, [Excepted("e", "r", "s", lambda *_: True, ends)])
            self.assertEqual((result.differences, result.excepted), ([], {"e": 1}))
            self.assertEqual(result.skipped, self.sequences[sequence].requests() - 2 if ends else 0)


class RealDifference(unittest.TestCase):
    def test_another_kernel_is_found_and_shrunk(self):
        """By the rules of 6.19 there is no GET_NAME."""
        sequences = list(all_rows()) + generate(SEED, 500)
        one, other = Compat(BIN), Compat(BIN, "--kernel", "6.19")
        found = compare(sequences, one.run(sequences), other.run(sequences), ()).differences
        found = [d for d in found if d.request.kind == "get-name" and d.one.startswith("ok")]
        self.assertTrue(found)
        short, difference = shrink(sequences[found[0].index], one, other, ())
        self.assertEqual(difference.request.kind, "get-name")
        self.assertLessEqual(short.requests(), 3, short.by_hand())
        self.assertIn("--- kernel 1:\nseq 0 1\nopen d 2", short.by_hand())


class Exceptions(unittest.TestCase):
    def test_they_look_at_any_request(self):
        """Whatever differs is shown to all of them."""
        for sequence in all_rows():
            for _, requests in sequence.phases:
                for request in requests:
                    for exception in EXCEPTIONS:
                        self.assertIn(exception.applies(request, "ok", "EIO"), (True, False))

    def test_they_are_few_and_explained(self):
        self.assertLessEqual(len(EXCEPTIONS), MOST)
        for exception in EXCEPTIONS:
            self.assertTrue(exception.reason and exception.source, exception.name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
