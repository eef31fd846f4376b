"""A file system whose server never answers outlived when it closes a file, or looks one up: a dead
network file system in some lines of /dev/fuse. It lives in a mount namespace of this process's own.

No process is to be started while one of its files is open here: the child closes it before anything
else, and the server, a thread of this process, waits for the child."""

import ctypes
import errno
import os
import stat
import struct
import threading

from harness import Skipped

MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV = 0x4000, 0x40000, 2, 4
LOOKUP, GETATTR, OPEN, FLUSH, INIT, OPENDIR = 1, 3, 14, 25, 26, 27
REQUEST = struct.Struct("<IIQQIIII")
ROOT, FILE = 1, 2
libc = ctypes.CDLL(None, use_errno=True)


def private_mounts():
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWNS | (0 if uid == 0 else CLONE_NEWUSER)) != 0:
        raise Skipped(f"no private mounts: {os.strerror(ctypes.get_errno())}")
    if uid != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"),
                           ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    if libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        raise Skipped(f"no private mounts: {os.strerror(ctypes.get_errno())}")


def is_outlived(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().startswith("outlived")
    except OSError:
        return False


def attributes(node):
    mode, links = (stat.S_IFDIR | 0o755, 2) if node == ROOT else (stat.S_IFREG | 0o644, 1)
    return struct.pack("<QQQQQQIIIIIIIIII", node, 0, 0, 0, 0, 0, 0, 0, 0, mode, links,
                       os.geteuid(), os.getegid(), 0, 4096, 0)


class Server:
    def __init__(self, folder, silent):
        self.silent = silent  # what it doesn't answer to processes of outlived
        self.asked = []  # pids of outlived's that wait, or did
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self.folder = folder
        options = f"fd={self.device},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()}"
        if libc.mount(b"silent", folder.encode(), b"fuse", MS_NOSUID | MS_NODEV,
                      options.encode()) != 0:
            error = ctypes.get_errno()
            os.close(self.device)
            raise Skipped(f"no FUSE: {os.strerror(error)}")
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                request = os.read(self.device, 1 << 17)
                _, code, unique, node, _, _, pid, _ = REQUEST.unpack_from(request)
                reply = self.answer(code, node)
                if code in self.silent and is_outlived(pid):
                    self.asked.append(pid)
                    continue  # never: its close(2) or open(2) waits for it
                error = -errno.ENOSYS if reply is None else 0
                reply = reply or b""
                os.write(self.device, struct.pack("<IiQ", 16 + len(reply), error, unique) + reply)
        except OSError:
            pass  # closed

    def answer(self, code, node):
        if code == INIT:
            return struct.pack("<IIIIHHIIHHI", 7, 31, 65536, 0, 12, 9, 65536, 1, 16, 0, 0) + bytes(28)
        if code == LOOKUP:
            return struct.pack("<QQQQII", FILE, 0, 0, 0, 0, 0) + attributes(FILE)
        if code == GETATTR:
            return struct.pack("<QII", 0, 0, 0) + attributes(node)
        if code in (OPEN, OPENDIR):
            return struct.pack("<QII", 1, 0, 0)
        return None

    def open(self):
        """Closing it waits until close() of the server in outlived, not in others."""
        return os.open(self.folder + "/file", os.O_RDWR)

    def close(self):
        """What waits for an answer gets an error."""
        libc.umount2(self.folder.encode(), MNT_DETACH)
        os.close(self.device)


def silent_file(world, silent=(FLUSH,)):
    private_mounts()
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise Skipped("no /dev/fuse")
    folder = world.path("silent")
    os.mkdir(folder)
    return Server(folder, silent)
