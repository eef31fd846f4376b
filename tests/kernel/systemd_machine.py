"""The virtual machine with a real systemd as PID 1, and outlived installed in it.

    main(test, SystemdMachine)          # as in case.py; ServiceMachine: with a service of outlived's
    machine.systemctl("start", "outlived")
    machine.show("MainPID")             # a property of outlived.service, as text

systemd and what it needs are Debian's packages (build-systemd.sh), in an initramfs that stays the root,
without what a host starts at boot beside it.
The guest's program is a service there. outlived's unit is the one that is installed, unchanged.
"""

import json
import os
import subprocess

import initramfs
from harness import check, equal, wait_for
from machine import Machine, Missing

HERE = os.path.dirname(os.path.abspath(__file__))
OUTLIVE = "/usr/bin/outlive"
UNIT = os.path.join(HERE, "..", "..", "packaging", "outlived.service")

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/hostname": "guest\n",
    # What services say goes to the kernel's log, and so to the console, which a failure shows.
    "etc/systemd/system.conf":
        "[Manager]\nDefaultStandardOutput=kmsg\nDefaultStandardError=kmsg\nLogTarget=kmsg\n"
        "DefaultTimeoutStartSec=10min\n",
    "etc/systemd/system/default.target":
        "[Unit]\nRequires=basic.target guest.service\nAfter=basic.target\nAllowIsolate=yes\n",
    "etc/systemd/system/guest.service":
        "[Service]\nType=exec\nExecStart=/usr/bin/kernel-guest\nKillMode=process\n",
}


def is_optional(name):
    """What a host starts at boot and outlived has no use for: dozens of processes, each of which takes
    seconds in an emulated machine on a busy host."""
    return ".target.wants/" in name or "-generators/" in name


def folders_of(name):
    """The folders that a file is in, the outermost first."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def find_tree():
    """The folder with the packages' files; None: nobody has fetched them."""
    done = subprocess.run([os.path.join(HERE, "build-systemd.sh"), "--cached"], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return os.path.join(done.stdout.strip(), "tree") if done.returncode == 0 else None


class SystemdMachine(Machine):
    more_files = {}  # of one test's machine: name: text

    def __init__(self, *arguments):
        super().__init__(*arguments, more=("printk.devkmsg=on", "loglevel=6"))
        self.tree = find_tree()
        if not self.tree:
            raise Missing("no systemd for the machine: make test-kernel fetches it")

    def initrd(self):
        entries = [entry for entry in initramfs.tree(self.tree) if not is_optional(entry[0])]
        for name in ("outlived", "outlive", "kernel-guest", "kernel-session"):
            entries.append((f"usr/bin/{name}", initramfs.PROGRAM, self.stripped(name)))
        with open(UNIT) as unit:
            text = unit.read().replace("@BINDIR@", "/usr/bin")
        check("@" not in text, "the unit has nothing that isn't filled in")
        known = {entry[0] for entry in entries}
        for name, content in {**FILES, **self.more_files,
                              "usr/lib/systemd/system/outlived.service": text}.items():
            # The kernel drops a file whose folder isn't there, and says nothing.
            for folder in folders_of(name):
                if folder not in known:
                    entries.append((folder, initramfs.FOLDER, b""))
                    known.add(folder)
            entries.append((name, initramfs.TEXT, content.encode()))
        return initramfs.archive(entries)

    def stripped(self, name):
        """A program as a package has it."""
        small = os.path.join(self.folder, name)
        subprocess.run(["strip", "-o", small, self.program(name)], check=True)
        with open(small, "rb") as file:
            return file.read()

    # ---- what a test asks for -------------------------------------------------------------------

    def systemctl(self, *words):
        return self.must("/usr/bin/systemctl", *words)

    def show(self, *names):
        """Properties of outlived.service, in the order of their names here."""
        text = self.systemctl("show", "outlived", f"--property={','.join(names)}")
        values = dict(line.split("=", 1) for line in text.splitlines())
        found = [values[name] for name in names]
        return found[0] if len(names) == 1 else found


class ServiceMachine(SystemdMachine):
    """outlived has the kernel's live update there, and a service that leaves a text in a session; each later
    start of that service finds it, or ends."""
    more_files = {
        "etc/outlive/outlive.toml":
            '[machine]\nkind = "kernel"\n[kho]\narena-max = "64M"\n[services.holder]\n'
            'command = ["/usr/bin/kernel-session", "serve", "held", "kept over all of it"]\n',
    }


def told(machine, *words):
    """What `outlive` says to that, as JSON."""
    return json.loads(machine.must(OUTLIVE, *words, "--json"))


def serves(machine, how):
    """What is told of the service, once it is up; `how`: "saved" or "found", what it said at its last start."""
    def up():
        found = told(machine, "list", "services")["services"]
        return found[0] if found and found[0]["state"] == "running" and found[0]["ready"] else None
    service = wait_for("the service to serve", up, seconds=120)
    equal(machine.must(OUTLIVE, "log", "holder").splitlines()[-1].split()[-1], how, "the text was")
    return service
