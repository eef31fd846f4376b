"""Any program: static and dynamic, threads, a leader that has ended, vfork, signals in the middle, a
shell's children, a daemon that is left behind; exit codes, signals and output as without compat."""

import os
import signal
import subprocess

from harness import PATIENCE, contains, equal, wait_for
from liveupdate import compat, create, main, memfd, open_device, preserve, probe, program, words


@program("daemon")
def program_daemon(path):
    """Leaves a grandchild in a session of its own, which uses the device after we have ended."""
    alive, gate = os.pipe()
    if os.fork() != 0:
        return
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    os.close(gate)
    null = os.open("/dev/null", os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    os.read(alive, 1)  # the first one has ended
    result = preserve(create(open_device(), b"daemon"), memfd(b"x"), 1)
    with open(path + ".new", "w") as file:
        file.write(f"preserved: {result}")
    os.rename(path + ".new", path)


@program("status")
def program_status(how):
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(int(how))


@program("waits")
def program_waits():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(9))
    print("ready", flush=True)
    while True:
        signal.pause()


def test(world):
    for kind in ("dynamic", "static"):
        for what in ("signals", "interrupts", "threads", "leader", "vfork", "x32"):
            done = probe(world, kind, what)
            equal((done.code, done.err), (0, ""), f"{what} ({kind})")
    path = world.path("result")
    compat(world, "daemon", path)
    wait_for("the daemon's result", lambda: os.path.exists(path))
    with open(path) as file:
        equal(file.read(), "preserved: 0", "a daemon, after the program has ended")
    for how, code in (("0", 0), ("7", 7), ("kill", 137)):
        equal(world.outlive("compat", "--", *words("status", how)).code, code, f"exit {how}")
    for path, code in (("/nowhere/at-all", 127), ("/etc/passwd", 126)):
        done = world.outlive("compat", "--", path)
        equal(done.code, code, "what can't be executed")
        contains(done.one_line(), path, "and why")
    equal(world.must("compat", "--", "sh", "-c", "echo a | tr a b; echo c >&2").out, "b\n", "a shell's")
    inside = world.must("compat", "--", "sh", "-c", "test -c /dev/liveupdate && echo yes")
    equal(inside.out, "yes\n", "children of children")
    process = subprocess.Popen([world.program("outlive"), "compat", "--", *words("waits")],
                               env=world.environment, stdout=subprocess.PIPE, text=True)
    world.popen.append(process)
    equal(process.stdout.readline(), "ready\n", "the program")
    process.send_signal(signal.SIGTERM)
    equal(process.wait(timeout=PATIENCE), 9, "SIGTERM is passed on")
    contains(world.outlive("compat").err, "compat what?", "no command")


if __name__ == "__main__":
    main(test)
