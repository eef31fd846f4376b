"""Never let through: reboots, kexec, the ways to have PID 1 do one, and the ways around the filter."""

import ctypes
import errno
import os
import socket
import subprocess

from harness import contains, equal
from liveupdate import compat, main, probe, program, syscall

REBOOT, KEXEC_LOAD, IO_URING_SETUP, KILL = 169, 246, 425, 62
MAGIC1, MAGIC2 = 0xFEE1DEAD, 672274793
COMMANDS = {"restart": 0x01234567, "halt": 0xCDEF0123, "power off": 0x4321FEDC, "suspend": 0xD000FCE2,
            "Ctrl-Alt-Del on": 0x89ABCDEF, "off": 0}


@program("refused")
def program_refused(folder):
    long = ctypes.c_long
    for what, command in COMMANDS.items():
        equal(syscall(REBOOT, long(MAGIC1), long(MAGIC2), long(command), None), "EPERM", what)
    equal(syscall(REBOOT, long(1), long(MAGIC2), long(0), None), "EINVAL", "a wrong number")
    equal(syscall(KEXEC_LOAD, long(0), long(0), None, long(0)), "EPERM", "kexec_load")
    equal(syscall(IO_URING_SETUP, long(8), ctypes.create_string_buffer(120)), "ENOSYS", "io_uring")
    equal(syscall(KILL, long(1), long(40)), "EPERM", "a real-time signal to PID 1")
    equal(syscall(KILL, long(os.getpid()), long(0)), 0, "any other kill")
    for name, wanted in (("systemd/private", "EPERM"), ("dbus/system_bus_socket", "EPERM"),
                         ("other", "connected")):
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(path)
            server.listen(1)
            try:
                client.connect(path)
                got = "connected"
            except OSError as error:
                got = errno.errorcode[error.errno]
            equal(got, wanted, name)
    print("done")


def test(world):
    contains(compat(world, "refused", world.path("sockets")), "done", "refusals")
    for kind in ("dynamic", "static"):
        done = probe(world, kind, "int80")
        equal((done.code, done.err), (128 + 31, ""), f"the 32-bit table ends the program ({kind})")
    nested = world.outlive("compat", "--", world.program("outlive"), "compat", "--", "true")
    equal(nested.code, 1, "compat inside compat")
    contains(nested.one_line(), "already", "compat inside compat")


if __name__ == "__main__":
    main(test)
