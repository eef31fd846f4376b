"""--faults: what nobody can have of a real kernel on demand."""

import errno
import os

from harness import contains, descendants_of, equal
from liveupdate import DEVICE, compat, create, main, memfd, open_device, preserve, program


def opens():
    try:
        os.close(open_device())
    except OSError as error:
        return errno.errorcode[error.errno]
    return "opened"


@program("preserve")
def program_preserve():
    session = create(open_device(), b"s")
    equal([preserve(session, memfd(b"x"), token) for token in (1, 2, 3)], [0, "ENOMEM", 0], "the second")
    print("done")


@program("opens")
def program_opens():
    equal(opens(), opens(), "always the same")
    print(opens(), os.path.exists(DEVICE))


@program("hold")
def program_hold():
    session = create(open_device(), b"s")
    equal(preserve(session, memfd(b"x"), 1), 0, "preserve")
    print("done", flush=True)
    if os.fork() == 0:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        import signal
        signal.pause()


def test(world):
    contains(compat(world, "preserve", options=("--faults", "preserve:2=ENOMEM")), "done", "preserve")
    equal(compat(world, "opens", options=("--faults", "incoming=corrupt")), "EIO True\n", "corrupt")
    equal(compat(world, "opens", options=("--faults", "device=absent")), "ENOENT False\n", "absent")
    equal(compat(world, "opens"), "opened True\n", "none")
    device = ("--device", "f")
    compat(world, "hold", options=(*device, "--faults", "freeze:1=EBUSY"))
    done = world.outlive("compat", *device, "--reboot")
    equal(done.code, 1, "freeze fails")
    contains(done.one_line(), "freeze", "what failed")
    contains(world.must("compat", *device, "--reboot").out, "number 1", "it failed once")
    world.must("compat", *device, "--stop")
    bad = world.outlive("compat", "--faults", "preserve:2=NOTHING", "--", "true")
    contains(bad.one_line(), "NOTHING", "what can't be read is named")
    end_of_daemon()


def end_of_daemon():
    """The one that program `hold` left behind."""
    for pid in descendants_of(os.getpid()):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                if "--as\0hold" in file.read():
                    os.kill(pid, 9)
        except OSError:
            pass


if __name__ == "__main__":
    main(test)
