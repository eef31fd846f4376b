"""What a kexec does: from outside by --reboot, from inside by reboot(2); sessions, files, numbers."""

import ctypes
import fcntl
import mmap
import os
import subprocess

from harness import PATIENCE, contains, equal
from liveupdate import (RETRIEVE_SESSION, Session, compat, create, finish, ioctl, main, memfd, open_device,
                        preserve, program, retrieve, retrieve_session, syscall, words)

MPROTECT, REBOOT, KEXEC_FILE_LOAD = 10, 169, 320
MAGIC1, MAGIC2, KEXEC = 0xFEE1DEAD, 672274793, 0x45584543
F_ADD_SEALS, F_GET_SEALS, SHRINK, GROW, WRITE = 1033, 1034, 2, 4, 8


def kexec():
    return syscall(REBOOT, ctypes.c_long(MAGIC1), ctypes.c_long(MAGIC2), ctypes.c_long(KEXEC), None)


def fill(device):
    session = create(device, b"s")
    memory = memfd(b"hello", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(memory, F_ADD_SEALS, SHRINK)
    equal(preserve(session, memory, 1), 0, "preserve")
    os.pwrite(memory, b"J", 0)  # still carried
    os.lseek(memory, 2, os.SEEK_SET)
    fcntl.fcntl(memory, F_ADD_SEALS, GROW)  # after preserve: lost
    sparse = os.memfd_create("sparse", 0)
    os.ftruncate(sparse, 1 << 20)
    equal(preserve(session, sparse, 2), 0, "preserve")
    return session, memory


def look(device, seals):
    session = retrieve_session(device, b"s")
    memory = retrieve(session, 1)
    equal(os.pread(memory, 9, 0), b"Jello", "content as of the reboot")
    equal(os.lseek(memory, 0, os.SEEK_CUR), 2, "position as of the reboot")
    equal(fcntl.fcntl(memory, F_GET_SEALS), seals, "seals as of preserve")
    equal(fcntl.fcntl(memory, fcntl.F_GETFL) & os.O_ACCMODE, os.O_RDWR, "read and write")
    sparse = retrieve(session, 2)
    equal((os.fstat(sparse).st_size, os.fstat(sparse).st_blocks), (1 << 20, 2048), "holes are pages")
    equal(retrieve(session, 3), "ENOENT", "no such token")
    equal(finish(session), 0, "finish")
    equal(retrieve(session, 1), "ENOENT", "finished")


@program("inside")
def program_inside(seals):
    device = open_device()
    session, memory = fill(device)
    other = create(device, b"other")
    equal(type(other), int, "a session")
    equal(kexec(), "EINVAL", "no kernel is loaded")
    equal(syscall(KEXEC_FILE_LOAD, -1, -1, ctypes.c_long(0), None, ctypes.c_long(0)), "EBADF", "no file")
    equal(syscall(KEXEC_FILE_LOAD, 0, -1, ctypes.c_long(0), None, ctypes.c_long(1 << 9)), "EINVAL", "flags")
    image = memfd(b"not looked at")
    equal(syscall(KEXEC_FILE_LOAD, image, -1, ctypes.c_long(0), None, ctypes.c_long(0)), 0, "load")
    equal(kexec(), 0, "reboot(KEXEC)")
    equal(preserve(session, image, 9), "ESTALE", "dead")
    equal(create(device, b"x"), "ESTALE", "dead")
    device = open_device()
    unwritable(device)
    os.pwrite(memory, b"XXXXX", 0)  # the old kernel's file is another one
    look(device, int(seals))
    os.close(session)  # of before: ends nothing
    print("done")


def unwritable(device):
    """As in the kernel, a session whose number can't be told is closed again, and a close is a finish."""
    page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    request = Session.from_buffer(page)
    request.size, request.name = 72, b"other"
    address = ctypes.addressof(request)
    equal(syscall(MPROTECT, ctypes.c_void_p(address), ctypes.c_size_t(4096), ctypes.c_long(1)), 0, "mprotect")
    equal(ioctl(device, RETRIEVE_SESSION, address), "EFAULT", "read-only")
    equal(retrieve_session(device, b"other"), "ENOENT", "finished")


@program("hold")
def program_hold():
    device = open_device()
    kept = fill(device)
    print("ready", flush=True)
    os.read(0, 1)
    equal(preserve(kept[0], memfd(b""), 9), "ESTALE", "dead")
    print("done")


@program("after")
def program_after():
    look(open_device(), SHRINK)
    print("done")


def test(world):
    contains(compat(world, "inside", str(SHRINK)), "done", "7.3")
    contains(compat(world, "inside", "1", options=("--kernel", "6.19")), "done", "6.19: not sealable")
    process = subprocess.Popen([world.program("outlive"), "compat", "--device", "d", "--", *words("hold")],
                               env=world.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    world.popen.append(process)
    equal(process.stdout.readline(), "ready\n", "stage 1")
    refused = world.outlive("compat", "--device", "d", "--kernel", "6.19", "--", "true")
    contains(refused.err, "rules of another kernel", "a device keeps its rules")
    contains(world.must("compat", "--device", "d", "--reboot").out, "live update number 1", "the number")
    equal(process.communicate("x", timeout=PATIENCE)[0], "done\n", "the program's session is dead")
    contains(compat(world, "after", options=("--device", "d")), "done", "stage 2")
    contains(world.must("compat", "--device", "d", "--reboot").out, "live update number 2", "the number")
    world.must("compat", "--device", "d", "--stop")
    done = world.outlive("compat", "--device", "d", "--reboot")
    equal(done.code, 1, "no device")
    contains(done.one_line(), "no device is held", "no device")


if __name__ == "__main__":
    main(test)
