"""compat answers as the kernel: every row of its table, to the errno and to the order of checks."""

import ctypes
import errno
import fcntl
import os
import resource
import socket

from harness import contains, equal
from liveupdate import (CREATE_SESSION, FINISH, GET_NAME, PRESERVE_FD, RETRIEVE_FD, Finish, Name, compat, create,
                        ioctl, main, memfd, open_device, preserve, probe, program, retrieve_session)

TCGETS, FIONREAD, FIOCLEX, FIONBIO, FIOASYNC, FIOQSIZE = 0x5401, 0x541B, 0x5451, 0x5421, 0x5452, 0x5460
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
PAGE = 4096


class Edge:
    """A page, and nothing behind it: what ends there can't be read further."""

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.mmap.restype = ctypes.c_void_p
        self.page = self.libc.mmap(None, ctypes.c_size_t(2 * PAGE), 3, 0x22, -1, ctypes.c_long(0))
        self.libc.munmap(ctypes.c_void_p(self.page + PAGE), ctypes.c_size_t(PAGE))

    def put(self, content):
        address = self.page + PAGE - len(content)
        ctypes.memmove(address, bytes(content), len(content))
        return address


def raw(size, rest=b""):
    return size.to_bytes(4, "little") + rest


@program("errno")
def program_errno(kernel):
    edge = Edge()
    device = open_device()
    # the device
    equal(opened_again(), "EBUSY", "second open")
    equal(ioctl(device, 0xBA02, 0), "EINVAL", "unknown number, before the address is looked at")
    equal(ioctl(device, PRESERVE_FD, 0), "EINVAL", "a session's number")
    equal(ioctl(device, TCGETS, 0), "EFAULT", "number 1 of another type: size first")
    equal(ioctl(device, TCGETS, edge.put(raw(0))), "ENOTTY", "then the whole command")
    equal(ioctl(device, 0xC048BA00, edge.put(raw(72, bytes(68)))), "ENOTTY", "direction bits")
    equal(ioctl(device, CREATE_SESSION, 0), "EFAULT", "size")
    equal(ioctl(device, CREATE_SESSION, edge.put(raw(71, bytes(67)))), "EINVAL", "small")
    equal(ioctl(device, CREATE_SESSION, edge.put(raw(72, bytes(60)))), "EFAULT", "cut off")
    equal(ioctl(device, CREATE_SESSION, edge.put(raw(76, bytes(68) + b"\0\0\1\0"))), "E2BIG", "more")
    equal(ioctl(device, CREATE_SESSION, edge.put(raw(80, bytes(68) + bytes(4)))), "EFAULT", "zeros, end")
    equal(ioctl(device, CREATE_SESSION, edge.put(raw(76, bytes(72)))), "EINVAL", "zeros; empty name")
    equal(create(device, b"x" * 64), "EINVAL", "64 bytes without NUL")
    session = create(device, b"s")
    equal(type(session), int, "create")
    equal(fcntl.fcntl(session, fcntl.F_GETFD), fcntl.FD_CLOEXEC, "new fds are O_CLOEXEC")
    equal(create(device, b"s"), "EEXIST", "name in use")
    equal(type(create(device, b"\xff\x01")), int, "a name is bytes")
    equal(retrieve_session(device, b"s"), "ENOENT", "no incoming one")
    equal(retrieve_session(device, b""), "ENOENT", "a name that can't be")
    # a session
    equal(ioctl(session, TCGETS, 0), "EINVAL", "TCGETS")
    equal(ioctl(session, FIONREAD, 0), "EINVAL", "FIONREAD")
    equal(ioctl(session, FS_IOC_GETFLAGS, 0), "EINVAL", "flags of an inode: a session has none of its own")
    equal(ioctl(session, FS_IOC_SETFLAGS, 0), "EFAULT", "which are read first")
    equal(ioctl(session, FS_IOC_SETFLAGS, edge.put(raw(0))), "EINVAL", "then the same")
    equal(ioctl(session, CREATE_SESSION, 0), "EINVAL", "the device's number")
    equal(ioctl(session, FIOCLEX, 0), 0, "FIOCLEX")
    equal(ioctl(session, FIONBIO, edge.put(raw(1))), 0, "FIONBIO")
    equal(ioctl(session, FIOASYNC, edge.put(raw(1))), "ENOTTY", "FIOASYNC")
    equal(ioctl(session, FIOQSIZE, 0), "ENOTTY", "FIOQSIZE")
    equal(ioctl(session, RETRIEVE_FD, edge.put(raw(0))), "EINVAL", "direction")
    equal(ioctl(session, RETRIEVE_FD, 0), "EFAULT", "size before direction")
    equal(ioctl(session, 0x4010BA41, edge.put(raw(0))), "ENOTTY", "command before direction")
    equal(ioctl(session, FINISH, Finish(size=8)), "EINVAL", "finish of an outgoing one")
    equal(ioctl(session, PRESERVE_FD, edge.put(raw(15, bytes(12)))), "EINVAL", "small")
    first = memfd(b"one")
    equal(preserve(session, first, 1), 0, "preserve")
    equal(preserve(session, -1, 1), "EEXIST", "the token before the fd")
    equal(preserve(session, 99, 2), "EBADF", "no such fd")
    equal(preserve(session, os.open("/tmp", os.O_PATH), 2), "EBADF", "a path is no file")
    equal(preserve(session, first, 2), "EBUSY", "the same file")
    equal(preserve(session, os.open(f"/proc/self/fd/{first}", os.O_RDONLY), 2), "EBUSY", "by inode")
    equal(preserve(create(device, b"t"), first, 1), "EBUSY", "in another session")
    for what, fd in {"/dev/null": os.open("/dev/null", os.O_RDWR), "a pipe": os.pipe()[0],
                     "a socket": socket.socket().detach(), "a session": session, "the device": device,
                     "an eventfd": os.eventfd(0)}.items():
        equal(preserve(session, fd, 3), "ENOENT", what)
    name = Name(size=72)
    equal(ioctl(session, GET_NAME, name), 0 if kernel == "7.3" else "EINVAL", "GET_NAME")
    if kernel == "7.3":
        equal(name.name, b"s", "the name")
        equal(ioctl(session, GET_NAME, Name(size=72, reserved=1)), "EINVAL", "reserved")
        equal(ioctl(session, GET_NAME, edge.put(raw(71, bytes(67)))), "EINVAL", "small")
    else:
        equal(ioctl(session, GET_NAME, 0), "EINVAL", "an unknown number")
    equal(ioctl(4000, CREATE_SESSION, 0), "EBADF", "no fd at all")
    no_room(device)
    print("done")


def opened_again():
    try:
        os.close(open_device())
    except OSError as error:
        return errno.errorcode[error.errno]
    return "opened"


def no_room(device):
    """A full table: EMFILE before names and tokens are looked at, and nothing has happened."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
    equal(create(device, b"s"), "EMFILE", "create")
    equal(retrieve_session(device, b"none"), "EMFILE", "retrieve")
    equal(opened_again(), "EMFILE", "open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    equal(type(create(device, b"room")), int, "room again")


def test(world):
    for kernel in ("7.3", "6.19"):
        contains(compat(world, "errno", kernel, options=("--kernel", kernel)), "done", kernel)
    for kind in ("dynamic", "static"):
        done = probe(world, kind, "efault")
        equal((done.code, done.err), (0, ""), f"EFAULT leaves nothing ({kind})")


if __name__ == "__main__":
    main(test)
