"""`outlive kho dump --digest` after a cancelled update equals the one before prepare; a change of
what is preserved changes it, and the way back restores it."""

import os

from harness import check, equal, free_port, main
from protocol import Wire


def test(world):
    world.start_outlived()

    def digest():
        return world.must("kho", "dump", "--digest").out.strip()

    port = free_port()
    world.run_service("web", port)
    device = Wire.connect(world.runtime)
    session = device.create_session("mine")
    device.add_note("note", b"some bytes")
    empty = digest()
    check(empty and empty == digest(), "the digest of the same state")
    fds = [os.memfd_create(f"m{i}") for i in range(20)]
    for token, fd in enumerate(fds):
        session.preserve(token, fd)
    full = digest()
    check(full != empty, "20 more files, and the same digest")
    for options in (["--at", "start=die"], ["--at", "adopt=veto"], ["--at", "retrieved=die"]):
        done = world.update_service("web", port, *options)
        equal(done.code, 3, f"{options}: {done.out}{done.err}")
        equal(digest(), full, f"the digest after {options}")
    device.add_note("note", b"other bytes")
    check(digest() != full, "another note, and the same digest")
    session.unpreserve(7)
    device.add_note("note", b"some bytes")
    check(digest() != full, "one file less, and the same digest")
    session.close()
    device.close()
    world.stop_outlived()


main(test)
