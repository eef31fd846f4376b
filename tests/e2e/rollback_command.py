"""`outlive rollback`: an update back to the program before, also when its file has been replaced
meanwhile; the count goes on. Refused in one line when there is none, or when it can't read the
state."""

import os
import shutil

from harness import ask, check, contains, equal, free_port, main


def version(port):
    words = ask(port).split()
    return words[1], words[4]


def test(world):
    world.start_outlived()
    port = free_port()
    program = world.path("hello")
    shutil.copy(world.program("hello"), program)
    world.must("run", "hello", "--", program, str(port))
    done = world.outlive("rollback", "hello")
    check(done.code != 0, "a rollback before any update")
    contains(done.one_line(), "no previous version", "its line")
    equal(version(port), ("1", "1"), "before")

    # The next version lies at the same path: the way back needs the file that was kept open.
    os.unlink(program)
    shutil.copy(world.program("hello-v2"), program)
    world.must("update", "hello")
    equal(version(port), ("2", "2"), "updated")
    check(world.service("hello")["can_rollback"], "can_rollback")
    done = world.must("rollback", "hello")
    contains(done.out, "updated hello", "what it says")
    equal(version(port), ("3", "1"), "rolled back")
    # And forward again: what was left is the previous one now.
    world.must("rollback", "hello")
    equal(version(port), ("4", "2"), "forward")

    done = world.outlive("rollback", "nobody")
    check(done.code != 0, "a rollback of no service")
    contains(done.one_line(), "nobody", "its line")
    world.expect_clean()
    world.stop_outlived()


main(test)
