"""`outlive run --notify` of a program that never says READY=1: an error in time; it is ended."""

import time

from harness import check, contains, equal, is_alive, main, wait_for


def test(world):
    world.start_outlived()
    begun = time.monotonic()
    done = world.outlive("run", "mute", "--notify", "--ready-timeout", "400ms", "--", "/bin/sh",
                         "-c", "echo $$ > pid; echo starting; exec sleep 1000", cwd=world.dir)
    took = time.monotonic() - begun
    check(done.code != 0, "exit code")
    check(0.4 <= took < 20, f"it took {took:.1f} s")
    contains(done.one_line(), "mute", "the line names it")
    contains(done.err, "  | starting", "its log")
    with open(world.path("pid")) as file:
        pid = int(file.read())
    wait_for("its process to be gone", lambda: not is_alive(pid))
    equal(world.service("mute")["state"], "failed", "state")

    # The same program, that says it: fine.
    world.must("run", "speaking", "--notify", "--ready-timeout", "20s", "--", "python3", "-c",
               "import os, socket, time\n"
               "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
               "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n"
               "time.sleep(1000)")
    equal(world.service("speaking")["state"], "running", "state of the one that speaks")
    world.stop_outlived()


main(test)
