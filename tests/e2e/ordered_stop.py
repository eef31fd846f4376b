"""The stop of outlived: services end in reverse order of their start, each one before the next is
asked; what they forked, also into sessions of its own, is gone with them; the sockets too."""

import os
import signal

from harness import check, contains, equal, free_port, is_alive, main, wait_for

STOPS = """
import os, signal, sys, time
def stop(*_):
    with open(sys.argv[1], "a") as file: file.write(f"{sys.argv[2]} asked\\n")
    time.sleep(0.2)
    with open(sys.argv[1], "a") as file: file.write(f"{sys.argv[2]} ended\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
open(sys.argv[1] + "." + sys.argv[2], "w").close()
while True: signal.pause()
"""


def test(world):
    world.start_outlived()
    program = world.write("stops.py", STOPS)
    order = world.path("order")
    for name in ("one", "two", "three"):
        world.must("run", name, "--", "python3", program, order, name)
        wait_for("its handler", lambda: os.path.exists(f"{order}.{name}"))
    port = free_port()
    grandchild = world.path("grandchild")
    world.run_service("forks", port, "--grandchild", grandchild)
    with open(grandchild) as file:
        orphan = int(file.read())
    check(is_alive(orphan), "the grandchild runs")

    # A service that is stopped alone takes its grandchild along.
    world.must("stop", "forks", "--force")
    wait_for("the grandchild to be gone", lambda: not is_alive(orphan))
    contains(world.log(), f"pid {orphan}", "the log")

    # Deaf to SIGTERM: killed in time.
    world.must("run", "deaf", "--stop-timeout", "300ms", "--", "/bin/sh", "-c",
               "trap '' TERM; while :; do sleep 0.1; done")
    pids = [world.service(name)["pid"] for name in ("one", "two", "three", "deaf")]
    status = world.status()
    world.daemon.send_signal(signal.SIGTERM)
    equal(world.daemon.wait(timeout=30), 0, "outlived's exit code")
    with open(order) as file:
        lines = file.read().split("\n")[:-1]
    wanted = [f"{name} {what}" for name in ("three", "two", "one") for what in ("asked", "ended")]
    equal(lines, wanted, "the order")
    for pid in pids + [status["pid_keeper"], status["pid_worker"], status["pid_spare"]]:
        wait_for(f"pid {pid} to be gone", lambda: not is_alive(pid))
    left = [name for name in os.listdir(world.runtime) if not name.endswith(".lock")]
    equal(left, [], "files left in the runtime folder")


main(test)
