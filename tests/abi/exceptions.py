"""Where compat differs from the kernel, and may. At most ten; each says why, and where the kernel's
behaviour comes from. Any other difference is a failure."""

import dataclasses
from typing import Callable

MOST = 10
O_DIRECTORY, O_PATH = 0x10000, 0x200000
OF_INODE = {0x80086601, 0x40086602, 0x801C581F, 0x401C5820}  # FS_IOC_{GET,SET}FLAGS, FS_IOC_FS{GET,SET}XATTR
CLONE = {0x40049409, 0x4020940D}  # FICLONE, FICLONERANGE
KVM = 0xAE


@dataclasses.dataclass(frozen=True)
class Excepted:
    name: str
    reason: str
    source: str  # in the kernel's tree
    applies: Callable  # (request, what the kernel said, what compat said) -> bool
    # What comes after it in the sequence isn't compared: the two sides have another state.
    ends_sequence: bool = False


def slot(request):
    """The first slot that the request names: "d..." is a device, "s..." a session."""
    words = request.text.removeprefix("child ").split()
    return words[1] if len(words) > 1 else ""


def verb(request):
    return request.text.removeprefix("child ").split()[0]


def command(request):
    words = request.text.removeprefix("child ").split()
    return int(words[2], 0) if words[0] == "ioctl" else None


def of_stand_in(request, *_):
    asks_the_file = verb(request) in ("flags", "describe", "describe-all", "write", "append", "seek", "truncate",
                                      "fallocate", "store", "seals", "reopen")
    if slot(request).startswith("d") and command(request) in OF_INODE:
        return True
    return slot(request).startswith(("d", "s")) and (asks_the_file or command(request) in CLONE)


def opened_for_its_path(request, *_):
    return verb(request) == "open" and int(request.text.split()[-1], 0) & (O_DIRECTORY | O_PATH) != 0


def named_memfd(_, kernel, compat):
    return kernel.endswith("link=/ (deleted)") and kernel.replace("link=/ ", "link=/memfd: ") == compat


def resized(request, kernel, compat):
    return verb(request) in ("truncate", "fallocate", "write", "append") and kernel == "EPERM" and \
        (compat == "ok" or compat.startswith("wrote"))


def pinned(request, kernel, compat):
    return verb(request) == "seals" and kernel == "EBUSY" and compat == "ok"


def of_kvm(request, *_):
    return command(request) is not None and command(request) >> 8 & 0xff == KVM


def half_written(_, kernel, compat):
    return compat.split()[-1] == "EFAULT" and kernel == compat + " fd-field-written"


EXCEPTIONS = [
    Excepted("stand-in", "a descriptor of the device or a session is a socket: calls that ask the file and not LUO "
               "(read, write, lseek, F_GETFL, fstat, flags of its inode, clones, /proc/self/fd) answer as for one",
               "kernel/liveupdate/luo_core.c luo_fops, luo_session.c luo_session_fops: only open, ioctl, release",
               of_stand_in),
    Excepted("opened for its path", "opens with O_DIRECTORY are not stopped, for the sake of programs that walk "
               "trees, and find that the machine has no device; a descriptor of O_PATH would lead to the machine's",
               "fs/namei.c do_open() and fs/open.c do_dentry_open(): ENOTDIR, and no call of luo_open()",
               opened_for_its_path, ends_sequence=True),
    Excepted("name", "a retrieved memfd has an empty name in /proc/self/fd: no call of user space makes one",
               "mm/memfd_luo.c memfd_luo_retrieve(): memfd_alloc_file(\"\")", named_memfd),
    Excepted("resized", "a preserved memfd may change its size: nothing that user space can set and take back "
               "forbids it for a while",
               "mm/memfd_luo.c memfd_luo_preserve(): shmem_freeze()", resized, ends_sequence=True),
    Excepted("pinned", "F_SEAL_WRITE of a preserved memfd succeeds (and is lost, as other late seals): only pages that "
               "are pinned or mapped forbid it",
               "mm/memfd.c memfd_wait_for_pins(): EBUSY for the pins of memfd_luo_preserve_folios()", pinned,
               ends_sequence=True),
    Excepted("type of KVM", "ioctls of type 0xAE are not stopped, for the sake of virtual machines, and find a socket: "
               "ENOTTY",
               "kernel/liveupdate/luo_core.c luo_ioctl(), luo_session.c luo_session_ioctl(): the number first",
               of_kvm),
    Excepted("half written", "where only a part of the answer can be written (EFAULT), the kernel leaves a number in "
               "the field of the descriptor, of one that nobody gets",
               "kernel/liveupdate/luo_internal.h luo_ucmd_respond(): copy_to_user()", half_written),
]
