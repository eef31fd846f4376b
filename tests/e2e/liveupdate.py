"""The kernel's interface in ctypes, for the programs that the compat tests run; and how they are run.

A test file has a part that runs as the program: `program(NAME)` marks a function of it, and
`compat(world, NAME, ...)` runs this very file under `outlive compat` as that program.
"""

import ctypes
import errno
import os
import sys

from harness import Failed, check

CREATE_SESSION, RETRIEVE_SESSION = 0xBA00, 0xBA01
PRESERVE_FD, RETRIEVE_FD, FINISH, GET_NAME = 0xBA40, 0xBA41, 0xBA42, 0xBA43
DEVICE = "/dev/liveupdate"

libc = ctypes.CDLL(None, use_errno=True)
libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]
libc.syscall.restype = ctypes.c_long


class Session(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("fd", ctypes.c_int32), ("name", ctypes.c_char * 64)]


class File(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("fd", ctypes.c_int32), ("token", ctypes.c_uint64)]


class Finish(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


class Name(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("name", ctypes.c_char * 64)]


def ioctl(fd, request, body):
    """0, or the errno's name. `body`: a structure, bytes or an address."""
    address = body if isinstance(body, int) else ctypes.addressof(body)
    if libc.ioctl(fd, request, address) == 0:
        return 0
    return errno.errorcode[ctypes.get_errno()]


def syscall(number, *words):
    result = libc.syscall(number, *words)
    return result if result != -1 else errno.errorcode[ctypes.get_errno()]


def open_device(flags=os.O_RDWR | os.O_CLOEXEC):
    return os.open(DEVICE, flags)


def asked(fd, request, body):
    body.size = body.size or ctypes.sizeof(body)
    result = ioctl(fd, request, body)
    return body.fd if result == 0 else result


def create(device, name):
    return asked(device, CREATE_SESSION, Session(name=name))


def retrieve_session(device, name):
    return asked(device, RETRIEVE_SESSION, Session(name=name))


def preserve(session, fd, token):
    body = File(fd=fd, token=token)
    result = asked(session, PRESERVE_FD, body)
    return result if isinstance(result, str) else 0


def retrieve(session, token):
    return asked(session, RETRIEVE_FD, File(token=token))


def finish(session, reserved=0):
    return ioctl(session, FINISH, Finish(size=8, reserved=reserved))


def memfd(content=b"", flags=0):
    fd = os.memfd_create("m", flags)
    os.write(fd, content)
    return fd


PROGRAMS = {}


def program(name):
    def register(function):
        PROGRAMS[name] = function
        return function
    return register


def words(name, *arguments):
    return [sys.executable, "-B", os.path.abspath(sys.argv[0]), "--as", name, *arguments]


def compat(world, name, *arguments, options=(), **more):
    """This file as program `name` under compat; it has to succeed. What it printed."""
    os.makedirs(world.runtime, exist_ok=True)
    done = world.outlive("compat", *options, "--", *words(name, *arguments), **more)
    if done.code != 0:
        raise Failed(f"program {name} {' '.join(options)}: exit {done.code}:\n{done.out}{done.err}")
    return done.out


def probe(world, kind, what):
    os.makedirs(world.runtime, exist_ok=True)
    return world.outlive("compat", "--", world.program(f"compat-probe-{kind}"), what)


def leaves_nothing(world):
    """No process of compat is left, and no socket."""
    from harness import descendants_of, is_alive, wait_for
    wait_for("compat's processes to leave",
             lambda: not [pid for pid in descendants_of(os.getpid()) if is_alive(pid)])
    left = [name for name in os.listdir(world.runtime) if name.startswith("compat-")]
    check(not left, f"left behind: {left}")


def main(test):
    if len(sys.argv) > 2 and sys.argv[1] == "--as":
        PROGRAMS[sys.argv[2]](*sys.argv[3:])
        return
    import harness

    def run(world):
        test(world)
        leaves_nothing(world)
    harness.main(run)
