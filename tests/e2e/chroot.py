"""This machine's root, to break: an overlay over it in a mount and pid namespace, with /proc, /dev,
/run, /tmp and /var/tmp of its own. All that is written is in memory, and gone with the last process.

    chroot.expect_possible()                         # or Skipped, and why
    subprocess.run(chroot.inside(__file__, WORDS...))  # runs `__file__ --inside WORDS...` as pid 1
    overlay = chroot.enter(FOLDER, SHARE)            # there: SHARE is at /tmp/share from now on
"""

import os
import stat
import subprocess
import sys

from harness import Failed, Skipped

OVERLAY = "mount -t tmpfs none {0} && mkdir {0}/root {0}/up {0}/work && " \
          "mount -t overlay none -o lowerdir=/,upperdir={0}/up,workdir={0}/work {0}/root"
DEVICES = ("null", "zero", "full", "random", "urandom")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
               "DEBIAN_FRONTEND": "noninteractive"}
# What dpkg and the linker keep for themselves.
KEPT_BY_OTHERS = ("var/lib/dpkg/", "var/log/", "var/cache/", "etc/ld.so.cache", "run/", "tmp/")


def run(*words):
    return subprocess.run(words, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)


def must_run(*words):
    done = run(*words)
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def dpkg(*words):
    return must_run("dpkg", *words)


def expect_possible():
    if os.geteuid() != 0:
        raise Skipped("needs root: dpkg in an overlay of the machine's root")
    done = run("unshare", "--mount", "sh", "-ec", OVERLAY.format("/tmp"))
    if done.returncode != 0:
        raise Skipped(f"no overlay of the root can be mounted here: {done.stderr.strip()}")


def inside(script, *words):
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, "-B", script,
            "--inside", *words]


def enter(folder, share):
    os.mkdir(folder)
    must_run("sh", "-ec", OVERLAY.format(folder))
    overlay = Overlay(f"{folder}/up")
    root = folder + "/root"
    must_run("mount", "-t", "proc", "proc", root + "/proc")
    for name in ("dev", "run", "tmp", "var/tmp"):
        must_run("mount", "-t", "tmpfs", "-o", "mode=1777" if "tmp" in name else "mode=755", "none",
                 f"{root}/{name}")
    for name in DEVICES:
        with open(f"{root}/dev/{name}", "w"):
            pass
        must_run("mount", "--bind", f"/dev/{name}", f"{root}/dev/{name}")
    os.symlink("/proc/self/fd", root + "/dev/fd")
    os.mkdir(root + "/dev/shm", 0o1777)
    os.mkdir(root + "/tmp/share")
    must_run("mount", "--bind", share, root + "/tmp/share")
    os.chroot(root)
    os.chdir("/")
    return overlay


class Overlay:
    """What was added to the machine's root, or hidden of it. Made before the chroot."""

    def __init__(self, upper):
        self.upper = os.open(upper, os.O_PATH | os.O_DIRECTORY)
        self.lower = os.open("/", os.O_PATH | os.O_DIRECTORY)

    def was_there(self, path):
        try:
            os.lstat(path, dir_fd=self.lower)
        except OSError:
            return False
        return True

    def added(self):
        """Paths that are new, and those of what is hidden."""
        found = set()
        for folder, folders, files, at in os.fwalk(".", dir_fd=self.upper):
            for name in folders + files:
                path = os.path.normpath(os.path.join(folder, name))
                hidden = stat.S_ISCHR(os.lstat(name, dir_fd=at).st_mode)
                if (hidden or not self.was_there(path)) and not (path + "/").startswith(KEPT_BY_OTHERS):
                    found.add(("-" if hidden else "+") + path)
        return found
