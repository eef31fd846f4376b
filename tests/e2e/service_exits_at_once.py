"""`outlive run` of what ends at once, or isn't there: one line, the last lines of its log, and
nothing of it is left; what ran goes on."""

import sys

from harness import SERVICE, ask, check, contains, equal, free_port, main, wait_for


def test(world):
    world.start_outlived()
    port = free_port()
    world.run_service("other", port)
    fds = world.fds_of(world.status()["pid_keeper"])

    done = world.outlive("run", "gone", "--", "/bin/sh", "-c", "echo last words; exit 3")
    equal(done.code, 1, "exit code")
    line = done.one_line()
    contains(line, "'gone' ended before it was ready: exit code 3", "its line")
    contains(done.err, "  | last words", "its log")

    done = world.outlive("run", "--", "/bin/false")
    equal(done.code, 1, "exit code of /bin/false")
    contains(done.one_line(), "exit code 1", "its line")

    done = world.outlive("run", "killed", "--", "/bin/sh", "-c", "kill -SEGV $$")
    contains(done.one_line(), "signal 11", "killed by a signal")

    done = world.outlive("run", "none", "--", "/nonexistent/program")
    check(done.code != 0, "exit code of a missing program")
    contains(done.one_line(), "/nonexistent/program", "its line")
    done = world.outlive("run", "none", "--", "no-such-program-at-all")
    contains(done.one_line(), "no-such-program-at-all", "not in $PATH")

    # Two that have the same port: the second one says why.
    done = world.outlive("run", "second", "--notify", "--", sys.executable, SERVICE, str(port))
    check(done.code != 0, "the second one at a port")
    contains(done.err, "Address already in use", "its log")

    # The failed ones can be run again, or stopped; then nothing is left of them.
    world.must("run", "gone", "--", "/bin/sleep", "1000")
    for name in ("gone", "false", "killed", "second"):
        world.must("stop", name, "--force")
    equal([one["name"] for one in world.json("list", "services")["services"]], ["other"], "left")
    world.expect_clean()
    wait_for("outlived's fds to be closed",
             lambda: world.fds_of(world.status()["pid_keeper"]) <= fds)
    equal(ask(port).split()[0], "1", "the other one serves")
    world.stop_outlived()


main(test)
