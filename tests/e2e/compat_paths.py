"""The device is seen at its path, in the ways in which programs look, and nowhere else."""

import errno
import os
import stat

from harness import contains, equal
from liveupdate import DEVICE, compat, main, open_device, program, syscall


def opens(path, flags=os.O_RDWR, **more):
    try:
        os.close(os.open(path, flags, **more))
    except OSError as error:
        return errno.errorcode[error.errno]
    return "opened"


@program("paths")
def program_paths():
    for path in (DEVICE, "//dev/./liveupdate", "/dev/../dev/liveupdate", "/proc/self/root/dev/liveupdate"):
        equal(opens(path), "opened", path)
    os.chdir("/dev")
    equal(opens("liveupdate"), "opened", "from /dev")
    os.chdir("/")
    equal(opens("dev/liveupdate"), "opened", "from /")
    folder = os.open("/dev", os.O_RDONLY)
    equal(opens("liveupdate", dir_fd=folder), "opened", "beside a descriptor")
    equal(opens("liveupdate"), "ENOENT", "not here")
    equal(opens("/tmp/liveupdate"), "ENOENT", "not there")
    equal(opens(DEVICE, os.O_RDONLY), "opened", "for reading")
    equal(opens(DEVICE, os.O_RDWR | os.O_CREAT | os.O_EXCL), "EEXIST", "never made anew")
    equal(opens(DEVICE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "opened", "as a shell's >")
    equal(type(openat2(DEVICE)), int, "openat2")
    for status in (os.stat(DEVICE), os.lstat(DEVICE), os.stat("liveupdate", dir_fd=folder)):
        equal(stat.S_ISCHR(status.st_mode), True, "a character device")
        equal(os.major(status.st_rdev), 10, "a misc one")
        equal(stat.S_IMODE(status.st_mode), 0o600, "mode")
    equal(os.access(DEVICE, os.R_OK | os.W_OK), True, "access")
    equal(os.access(DEVICE, os.X_OK), False, "no program")
    equal(os.path.realpath(DEVICE), DEVICE, "no link")
    equal(os.path.exists("/dev/liveupdate2"), False, "another name")
    device = open_device()
    equal(os.get_inheritable(device), False, "O_CLOEXEC as asked")
    os.close(device)
    device = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK)
    equal(os.get_blocking(device), False, "O_NONBLOCK as asked")
    print("done")


def openat2(path):
    import ctypes
    how = (ctypes.c_uint64 * 3)(os.O_RDWR, 0, 0)
    fd = syscall(437, -100, ctypes.c_char_p(path.encode()), how, ctypes.c_size_t(24))
    if isinstance(fd, int):
        os.close(fd)
    return fd


def test(world):
    contains(compat(world, "paths"), "done", "paths")
    listed = world.must("compat", "--", "ls", "-l", DEVICE)
    contains(listed.out, "crw", "ls")
    equal(listed.err, "", "ls")
    contains(world.must("compat", "--", "stat", "-c", "%F", DEVICE).out, "character", "stat")
    world.must("compat", "--", "test", "-c", DEVICE)
    equal(world.must("compat", "--", "readlink", "-e", DEVICE).out, DEVICE + "\n", "readlink")
    # As without it.
    plain = world.run("find", "/usr/share/doc", "-newermt", "2000-01-01")
    equal(world.must("compat", "--", "find", "/usr/share/doc", "-newermt", "2000-01-01").out == plain.out,
          True, "find sees what it sees without")


if __name__ == "__main__":
    main(test)
