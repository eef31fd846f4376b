"""The Debian package: installed, upgraded while outlived serves (it replaces itself, and nothing that it
holds is lost), upgraded to a broken version (the old one goes on, the package is configured), removed
and purged (nothing is left). By dpkg, in an overlay of this machine's root with process ids, /run and
/tmp of its own; first without a service manager, then with what the package's scripts see of systemd.
"""

import os
import shutil
import signal
import subprocess
import sys

import chroot
import protocol as p
from chroot import dpkg, run
from harness import PATIENCE, World, check, contains, equal, is_alive, main, wait_for
from killed import Load

RUNTIME = "/run/outlive"
SECOND = "/run/second"  # of root too, found by its lock
HELD = "/run/held"      # of root, in hold mode
OTHER = "/run/other"    # of root, of another file: none of the package's
NOBODY = "/run/nobody"  # of a user: that user's business
FOLDERS = (RUNTIME, "/var/lib/outlive", "/etc/outlive")

# systemctl, as far as the package's scripts use it: what it was asked for, and one unit.
SYSTEMCTL = """#!/bin/sh
echo "$@" >>/tmp/asked
case " $* " in
  *" is-enabled "*) echo enabled ;;
  *" is-active "*) exit 3 ;;
  *" start "*)
    setsid /usr/bin/outlived >/tmp/log-unit 2>&1 &
    until outlive status >/dev/null 2>&1; do sleep 0.01; done ;;
esac
"""


# ---- outside: packages of several versions, made from the one that the build has made ---------------


def unpack(world, built):
    """The package as files; each version is packed from them."""
    found = [name for name in os.listdir(built) if name.startswith("outlive_")]
    check(len(found) == 1, f"one package of outlive in {built}: {found}")
    world.must_run("dpkg-deb", "-R", os.path.join(built, found[0]), world.path("tree"))
    with open(world.path("tree/DEBIAN/control")) as file:
        return file.read()


def pack(world, control, suffix):
    """Version VERSION+SUFFIX, of what is in the tree."""
    lines = [line + suffix if line.startswith("Version: ") else line
             for line in control.splitlines()]
    with open(world.path("tree/DEBIAN/control"), "w") as file:
        file.write("\n".join(lines) + "\n")
    world.must_run("dpkg-deb", "--root-owner-group", "-Znone", "-b", world.path("tree"),
                   world.path(f"share/outlive{suffix}.deb"))


def make_packages(world):
    built = os.path.join(os.path.dirname(world.bin), "deb")
    os.mkdir(world.path("share"))
    for name in os.listdir(built):
        if name.endswith(".deb"):
            shutil.copy(os.path.join(built, name), world.path("share"))
    control = unpack(world, built)
    for suffix in ("+2", "+4"):
        pack(world, control, suffix)
    # The link of the executable tells the broken one how it is broken: by its death after the exec.
    binary = world.path("tree/usr/bin/outlived")
    shutil.copy(binary, world.path("share/other-outlived"))
    os.unlink(binary)
    os.symlink("outlived-broken.exec", binary)
    shutil.copy(world.program("outlived-broken"), world.path("tree/usr/bin/outlived-broken.exec"))
    pack(world, control, "+3")


def test(world):
    chroot.expect_possible()
    world.must_run = lambda *words: equal(run(*words).returncode, 0, " ".join(words))
    make_packages(world)
    done = subprocess.run(chroot.inside(__file__, world.path("share"), world.path("root")),
                          env=world.environment, stdin=subprocess.DEVNULL, timeout=8 * PATIENCE)
    equal(done.returncode, 0, "what happened inside")


# ---- inside -----------------------------------------------------------------------------------------


class Outlived:
    """The one at a runtime folder, whoever started it."""

    def __init__(self, runtime):
        self.runtime = runtime

    def answer(self):
        """None while nobody answers, or not this one: its worker died twice while it was asked."""
        try:
            error, status = p.varlink(self.runtime, "Status")
        except OSError:
            return None
        return None if error else status

    def status(self):
        return wait_for("an answer", self.answer)

    def runs(self, path):
        """Whether its keeper's executable is the file that is there now."""
        try:
            return os.path.samefile(f"/proc/{self.status()['pid_keeper']}/exe", path)
        except FileNotFoundError:
            return False

    def processes(self):
        status = self.status()
        return {status[name] for name in ("pid_keeper", "pid_worker", "pid_spare") if status[name] > 0}


class Daemon(Outlived):
    """One that this test starts; what it says is in /tmp."""

    def __init__(self, runtime, binary="/usr/bin/outlived", uid=0):
        super().__init__(runtime)
        self.uid = uid
        options = ()
        if runtime != RUNTIME:
            for folder in (runtime, runtime + "-state"):
                os.mkdir(folder)
                os.chown(folder, uid, -1)
            options = ("--runtime-dir", runtime, "--state-dir", runtime + "-state")
        with open(f"/tmp/log-{os.path.basename(runtime)}", "ab") as log:
            self.process = subprocess.Popen([binary, *options], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, user=uid,
                                            env=chroot.ENVIRONMENT)
        World.popen.append(self.process)
        wait_for("outlived", lambda: self.process.poll() is not None or self.answer())
        equal(self.process.poll(), None, f"exit code of outlived at {runtime}")
        wait_for("the spare", lambda: self.status()["pid_spare"] > 0)


def status_of(package):
    return run("dpkg-query", "-W", "-f=${db:Status-Status} ${Version}", package).stdout


def install(deb, wanted):
    done = dpkg("-i", deb)
    equal(status_of("outlive").split(" ")[0], "installed", f"after {deb}")
    check(status_of("outlive").endswith(wanted), f"version: {status_of('outlive')}")
    return done.stdout + done.stderr


def check_installed():
    equal(run("outlived", "--check-config", "/etc/outlive/outlive.toml").returncode, 0, "the configuration")
    contains(run("ldconfig", "-p").stdout, "liboutlive.so.0", "the linker's cache")
    equal(run("pkg-config", "--modversion", "outlive").stdout.strip(),
          run("outlived", "--version").stdout.split()[1], "version of the library")
    equal(run("dpkg", "--verify", "outlive", "outlive-dev").stdout, "", "dpkg --verify")
    check(not os.path.exists(RUNTIME), "nothing was started: there is no service manager")
    if shutil.which("systemd-analyze"):
        done = run("systemd-analyze", "verify", "/usr/lib/systemd/system/outlived.service")
        mine = [line for line in done.stderr.splitlines()
                if "outlived" in line and "legacy cgroups" not in line]  # it looks at /sys, absent here
        equal((done.returncode, mine), (0, []), "systemd-analyze verify")


class Held:
    """What a client has: a session with two files, a note, and another client that works on."""

    def __init__(self):
        self.device = p.Wire.connect(RUNTIME, timeout=2 * PATIENCE)
        self.session = self.device.create_session("kept")
        for token in (1, 2):
            fd = os.memfd_create("kept")
            os.write(fd, b"kept")
            self.session.preserve(token, fd)
            os.close(fd)
        self.device.add_note("note", b"kept")
        self.load = Load(RUNTIME, "load")
        self.load.start()

    def check(self):
        """On the same connections as ever."""
        equal(self.session.files(), [1, 2], "files")
        equal(self.device.read_note("note"), b"kept", "the note")
        rounds = self.load.rounds
        wait_for("the other client", lambda: self.load.rounds > rounds or self.load.failure)
        self.load.check()


def check_upgrades(share, daemon, second, other, user, held):
    keeper, others = daemon.status()["pid_keeper"], (other.processes(), user.processes())
    with open("/etc/outlive/outlive.toml", "a") as file:
        file.write("# the administrator's\n")
    said = install(f"{share}/outlive+2.deb", "+2")
    contains(said, "updated outlived", "what the upgrade said")
    contains(said, f"user {user.uid} runs the version before", "what the upgrade said")
    for one in (daemon, second):
        check(one.runs("/usr/bin/outlived"), f"{one.runtime}: the new file runs")
        equal(one.status()["self_updates"], 1, "updates of itself")
    equal(daemon.status()["pid_keeper"], keeper, "the keeper's pid")
    equal((other.processes(), user.processes()), others, "outlived that aren't the package's")
    held.check()
    with open("/etc/outlive/outlive.toml") as file:
        contains(file.read(), "# the administrator's", "the configuration")

    # A version that can't: both go on as they were, and the package is configured.
    said = install(f"{share}/outlive+3.deb", "+3")
    contains(said, "The version before goes on, with all that it holds", "what the upgrade said")
    contains(said, f"outlive --runtime-dir {RUNTIME} update outlived", "how to try again")
    for one in (daemon, second):
        check(not one.runs("/usr/bin/outlived"), "the broken one doesn't run")
        equal(one.status()["self_rollbacks"], 1, "rollbacks")
        wait_for("a spare", lambda one=one: one.status()["pid_spare"] > 0)
    held.check()

    install(f"{share}/outlive+4.deb", "+4")
    for one in (daemon, second):
        check(one.runs("/usr/bin/outlived"), f"{one.runtime}: the mended file runs")
    held.check()


def held_one():
    """One that can't be asked to stop, as its worker has died too often."""
    daemon = Daemon(HELD)
    status = daemon.status()
    while not status["held"]:
        deaths = status["worker_deaths"]
        check(status["pid_worker"] > 0, "a pid: 0 would be everybody of our process group")
        os.kill(status["pid_worker"], signal.SIGSEGV)
        wait_for("the next worker", lambda: daemon.status()["worker_deaths"] > deaths)
        status = daemon.status()
    return daemon


def check_removed(daemon, second, other, user, held):
    others = (other.processes(), user.processes())
    files = [line for line in run("dpkg", "-L", "outlive", "outlive-dev").stdout.split("\n")
             if line and not os.path.isdir(line)]
    check(len(files) > 20, f"the packages' files: {files}")
    held.load.end()
    gone = {pid for one in (daemon, second, held_one()) for pid in one.processes()}
    done = dpkg("-r", "outlive", "outlive-dev")
    contains(done.stderr, "kept", "what is lost with it, by name")
    check(not [pid for pid in gone if is_alive(pid)], "outlived ended")
    equal((other.processes(), user.processes()), others, "outlived that aren't the package's")
    left = [path for path in files if os.path.exists(path)]
    equal(left, ["/etc/outlive/outlive.toml"], "what is left after removal")
    check(os.path.isdir("/var/lib/outlive"), "the state is kept until the purge")
    dpkg("-P", "outlive", "outlive-dev")
    equal(status_of("outlive"), "", "after the purge")


def check_nothing_left(overlay, before):
    equal(overlay.added() - before, set(), "what is left after the purge")
    equal([path for path in FOLDERS if os.path.exists(path)], [], "folders that are left")


def asked():
    with open("/tmp/asked") as file:
        return file.read()


def check_with_manager(share, packages):
    """Started when it is installed, never stopped or started again by an upgrade, ended by removal."""
    os.makedirs("/run/systemd/system")
    with open("/usr/bin/systemctl", "w") as file:
        file.write(SYSTEMCTL)
    dpkg("-i", *packages)
    contains(asked(), "start outlived.service", "what systemctl was asked for")
    daemon, held = Outlived(RUNTIME), Held()
    wait_for("the spare", lambda: daemon.status()["pid_spare"] > 0)
    keeper = daemon.status()["pid_keeper"]
    before = asked()
    install(f"{share}/outlive+2.deb", "+2")
    equal(asked()[len(before):].strip(), "--system daemon-reload", "what systemctl was asked for")
    check(daemon.runs("/usr/bin/outlived"), "the new file runs")
    equal(daemon.status()["pid_keeper"], keeper, "the keeper's pid")
    held.check()
    held.load.end()
    dpkg("-P", "outlive", "outlive-dev")
    contains(asked(), "stop outlived.service", "what systemctl was asked for")
    check(not is_alive(keeper), "outlived ended")


def inside(share, root):
    overlay = chroot.enter(root, share)
    share = "/tmp/share"
    nobody = 65534
    dpkg("-P", "outlive", "outlive-dev")  # this machine may have it
    shutil.rmtree("/var/lib/outlive", ignore_errors=True)
    if os.path.exists("/var/lib/man-db/auto-update"):
        os.unlink("/var/lib/man-db/auto-update")  # its index takes seconds each time
    if os.path.exists("/usr/sbin/policy-rc.d"):
        os.unlink("/usr/sbin/policy-rc.d")  # it may forbid to start anything
    before = overlay.added()
    packages = [f"{share}/{name}" for name in os.listdir(share) if "_" in name]
    dpkg("-i", *packages)
    check_installed()
    daemon, second = Daemon(RUNTIME), Daemon(SECOND)
    other = Daemon(OTHER, binary=f"{share}/other-outlived")
    user = Daemon(NOBODY, uid=nobody)
    held = Held()
    check_upgrades(share, daemon, second, other, user, held)
    check_removed(daemon, second, other, user, held)
    check_nothing_left(overlay, before)
    check_with_manager(share, packages)
    check_nothing_left(overlay, before)


def print_logs():
    for name in sorted(os.listdir("/tmp")):
        if name.startswith("log-"):
            with open(f"/tmp/{name}", errors="replace") as file:
                print(f"--- {name}:\n{file.read()}", file=sys.stderr)


if sys.argv[1:2] == ["--inside"]:
    try:
        inside(*sys.argv[2:])
    except BaseException:
        print_logs()
        raise
else:
    main(test)
