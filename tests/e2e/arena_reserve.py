"""Users fill the arena, within quotas that allow it: its last part stays root's, and who has filled it
can make room again."""

import errno
import os

import protocol as p
from floods import as_user, result_of
from harness import Skipped, check, contains, equal, main

CONFIG = """
[kho]
arena-max = "4M"
[limits]
subtrees-per-uid = 100000
subtree-bytes-per-uid = "1G"
arena-bytes-per-uid = "1G"
"""
EVIL = 61004
NOTE = bytes(16384)


def evil(runtime):
    wire = p.Wire.connect(runtime)
    count, refused = wire.fill_with_notes(NOTE, 0)
    others = []
    for what in (lambda: wire.create_session("more"), lambda: wire.add_note("small", b"1")):
        try:
            what()
            others.append(0)
        except p.Refused as no:
            others.append(no.errno)
    for number in range(8):
        wire.remove_note(f"note{number}")
    again, _ = wire.fill_with_notes(NOTE, count)
    return [count, refused.errno, str(refused), others, again - count]


def test(world):
    if os.geteuid() != 0:
        raise Skipped("needs root, for another user")
    world.start_outlived(CONFIG)
    count, code, text, others, again = result_of(as_user(EVIL, evil, world.runtime))
    equal(code, errno.ENOSPC, f"the refusal: {text}")
    contains(text, "kept for root", "the reason")
    equal(others, [errno.ENOSPC] * 2, "whatever else takes room")
    check(count > 100, f"only {count} notes fitted")
    check(again >= 7, f"{again} notes fitted into the room of 8")
    contains(world.log(), "kept for root", "the log")

    wire = p.Wire.connect(world.runtime)
    session = wire.create_session("root's")
    for token in range(50):
        session.preserve(token, os.memfd_create("root's"))
    wire.add_note("note", b"root's")
    equal(len(session.files()), 50, "root's files")
    world.expect_clean()


main(test)
