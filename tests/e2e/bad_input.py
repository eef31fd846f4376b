"""What bad input gets: one line that names the thing and the remedy, a non-zero exit, and
everything that was running still runs."""

import os
import socket

import protocol as p
from harness import Failed, ask, check, contains, equal, free_port, main, try_ask, wait_for
from protocol import Wire, fd_body, session_body

cases = []


def case(function):
    cases.append(function)
    return function


def wrong(done, code, *words):
    """One line on stderr, this exit code (None: any but 0), these words in it."""
    check(done.code != 0 if code is None else done.code == code,
          f"exit {done.code}, wanted {code}: {done.err or done.out}")
    line = done.one_line()
    for word in words:
        contains(line, word, "its line")


@case
def unknown_command(world):
    wrong(world.outlive("udpate", "web"), 2, "unknown command 'udpate'", "did you mean 'update'?")
    wrong(world.outlive("status", "--colour"), 2, "--colour")
    wrong(world.outlive("update"), 2, "name")
    wrong(world.outlive("run", "web"), 2, "--")
    wrong(world.outlive("run", "x", "--listen", "nowhere", "--", "/bin/true"), 2, "nowhere")
    wrong(world.outlive("run", "x", "--restart", "maybe", "--", "/bin/true"), 2, "maybe")
    wrong(world.outlive("run", "x", "--ready-timeout", "soon", "--", "/bin/true"), 2, "soon")
    wrong(world.outlive("stop"), 2, "SERVICE")
    wrong(world.outlive("list", "cats"), 2, "cats")
    done = world.run(world.program("outlived"), "--what")
    check(done.code == 2 and "--what" in done.err, f"outlived --what: {done.code} {done.err}")


@case
def missing_service(world):
    for words in (("update", "nobody"), ("rollback", "nobody"), ("stop", "nobody"),
                  ("plan", "nobody"), ("log", "nobody"), ("timeline", "ffffff")):
        wrong(world.outlive(*words), 1, words[1])


@case
def names(world):
    long = "n" * 64
    wrong(world.outlive("run", long, "--", "/bin/sleep", "9"), None, "63")
    wrong(world.outlive("run", "a\nb", "--", "/bin/sleep", "9"), None, "control character")
    words = [world.program("outlive").encode(), b"run", b"\xff\xfe", b"--", b"/bin/sleep", b"9"]
    wrong(world.run(*words), None, "UTF-8")


@case
def runs_already(world):
    wrong(world.outlive("run", "web", "--", "/bin/sleep", "9"), None, "'web' runs already",
          "outlive update web")


@case
def never_ready(world):
    """It says why it was killed, not only that it was."""
    wrong(world.outlive("run", "late", "--notify", "--ready-timeout", "200ms", "--restart", "no", "--",
                        "/bin/sleep", "1000"), 1, "'late'", "not ready after", "READY=1",
          "--ready-timeout")
    world.must("stop", "late")


@case
def socket_absent(world):
    """Is outlived running? Which paths were tried?"""
    nowhere = world.path("nowhere")
    wrong(world.outlive("status", "--runtime-dir", nowhere), 69, nowhere + "/control.sock",
          "start it with `outlived`")
    environment = dict(world.environment, XDG_RUNTIME_DIR=world.path("xdg"), TMPDIR=world.dir)
    del environment["OUTLIVE_RUNTIME_DIR"]
    if os.geteuid() != 0:
        wrong(world.outlive("list", env=environment), 69, world.path("xdg"),
              "/run/outlive/control.sock")
    # A socket that nobody serves.
    os.mkdir(world.path("stale"), 0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(world.path("stale/control.sock"))
    wrong(world.outlive("status", "--runtime-dir", world.path("stale")), 69, "nobody listens")
    # A folder whose socket's path would be too long.
    wrong(world.outlive("status", "--runtime-dir", "/tmp/" + "d" * 120), None, "107")
    done = world.run(world.program("hello"), "1", env=dict(world.environment,
                                                           OUTLIVE_RUNTIME_DIR=nowhere))
    check(done.code != 0, "hello without outlived")
    contains(done.err, nowhere, "which paths were tried")


@case
def no_permission(world):
    if os.geteuid() != 0:
        return  # needs a second uid
    os.chmod(world.dir, 0o755)

    def as_nobody(*words):
        return world.run(world.program("outlive"), *words, user=65534, group=65534,
                         extra_groups=[])

    if as_nobody("version").code != 0:
        return  # nobody can't even read the programs
    wrong(as_nobody("update", "web"), 1, "web")  # not its own: it sees none
    wrong(as_nobody("stop", "--daemon", "--force"), 77, "only root")
    wrong(as_nobody("kho", "dump"), 77, "root")
    equal(as_nobody("list", "services", "--names").out, "", "what nobody sees")
    os.chmod(world.runtime, 0o700)
    try:
        wrong(as_nobody("status"), 77, "no permission", world.runtime)
    finally:
        os.chmod(world.runtime, 0o755)


@case
def started_twice(world):
    done = world.run(*world.daemon_words(), timeout=20)
    equal(done.code, 75, f"a second outlived in one folder: {done.err}")
    contains(done.err, "another outlived", "its line")
    contains(done.err, "--runtime-dir", "the remedy")
    equal(len(done.err.splitlines()), 1, f"lines: {done.err}")


@case
def configuration(world):
    """File, line, key."""
    path = world.path("bad.toml")
    for text, words in (
            ("[outlived]\nlog-level = 7\n", ("bad.toml:2:", "log-level")),
            ("[outlived]\n\nlog-level = \"loud\"\n", ("bad.toml:3:", "log-level")),
            ("[limits]\nfdz = 3\n", ("bad.toml:2:", "fdz", "unknown key")),
            ("[kho]\narena-max = \"much\"\n", ("bad.toml:2:", "arena-max", "much")),
            ("[wrong]\n", ("bad.toml:1:", "wrong")),
            ("[liveupdate]\non-incoming-failure = \"guess\"\n",
             ("bad.toml:2:", "on-incoming-failure", "hold, fresh or reboot is expected")),
            ("[liveupdate]\non-incoming-failure = \"reboot\"\n",
             ("bad.toml:2:", "on-incoming-failure", "reboot-command")),
            ("[update]\nattempts = -1\n", ("bad.toml:2:", "attempts")),
            ("[kho\n", ("bad.toml:1:",)),
            ("[services.web]\ncommand = []\n", ("bad.toml:", "services.web")),
            ("[kho]\nreserve-mem = [\"a\"]\n", ("bad.toml:2:", "reserve-mem", "NAME SIZE ALIGN")),
            ("[kho]\nenabled = false\n", ("[kho] enabled", "[liveupdate] enabled"))):
        world.write("bad.toml", text)
        for options in (("--config", path), ("--config", path, "--check-config"),
                        ("--check-config", path)):
            done = world.run(world.program("outlived"), *options, "--runtime-dir",
                             world.path("other"), timeout=20)
            equal(done.code, 2, f"outlived {options} with {text!r}")
            equal(len(done.err.splitlines()), 1, f"lines about {text!r}: {done.err}")
            for word in words:
                contains(done.err, word, f"about {text!r}")
    done = world.run(world.program("outlived"), "--config", world.path("absent.toml"),
                     "--check-config")
    check(done.code != 0, "a configuration that is not there")
    contains(done.err, "absent.toml", "its line")
    good = world.write("good.toml", "[outlived]\nlog-level = \"info\"\n")
    equal(world.run(world.program("outlived"), "--config", good, "--check-config").code, 0, "good")
    equal(world.run(world.program("outlived"), "--check-config", good).code, 0, "good")


@case
def quotas(world):
    """The limits of start() below: 8 sessions, 16 files, 4 subtrees."""
    with Wire.connect(world.runtime) as device:
        sessions = []
        while True:
            reply = device.ask(p.CREATE_SESSION, session_body(f"q{len(sessions)}"))
            if reply.result:
                break
            sessions.append(Wire(socket.socket(fileno=reply.fds[0])))
            check(len(sessions) < 20, "no end of sessions")
        equal(-reply.result, 122, "EDQUOT of sessions")
        contains(reply.text, "the limit is 8", "its text")
        count = 0
        while True:
            reply = sessions[0].ask(p.PRESERVE_FD, fd_body(count), [os.memfd_create("q")])
            if reply.result:
                break
            count += 1
            check(count < 40, "no end of files")
        equal(-reply.result, 122, "EDQUOT of files")
        contains(reply.text, "the limit is 16", "its text")
        refused = None
        for number in range(8):
            try:
                device.add_note(f"n{number}", b"x")
            except p.Refused as error:
                refused = error
        check(refused is not None and refused.errno == 122, f"notes without end: {refused}")
        contains(world.log(), "the limit is 8", "outlived's log")
        for session in sessions:
            session.close()
        for number in range(4):
            device.remove_note(f"n{number}")
    wait_for("the quota's sessions to end", lambda: world.status()["sessions"] == 1)


@case
def connections_of_a_uid(world):
    """At most 12 connections of one uid, 64 more for root: one more is turned away, nobody else."""
    wires = []
    try:
        for _ in range(100):
            try:
                wire = Wire.connect(world.runtime, timeout=10)
                wire.call(p.STATUS, b"\x08" + bytes(7))
                wires.append(wire)
            except (OSError, p.Closed):
                break
        check(12 - 3 <= len(wires) <= 12 + 64, f"{len(wires)} of 100 of connections")
        check(world.status()["services"] == 1, "the operator's side")
    finally:
        for wire in wires:
            wire.close()
    wait_for("connections to be free again", lambda: can_connect(world))


def can_connect(world):
    try:
        with Wire.connect(world.runtime) as device:
            device.call(p.STATUS, b"\x08" + bytes(7))
        return True
    except (OSError, p.Closed):
        return False


@case
def liveupdate_off(world):
    """Subtrees, regions and dumps work; what needs updates says EOPNOTSUPP."""
    other = world.second("off", "[liveupdate]\nenabled = false\n"
                                          "[kho]\nreserve-mem = [\"mine 64K 4K\"]\n")
    with Wire.connect(other.runtime) as device:
        reply = device.ask(p.CREATE_SESSION, session_body("x"))
        equal(-reply.result, 95, "create a session")
        contains(reply.text, "[liveupdate] enabled", "its text")
        device.add_note("n", b"works")
        equal(device.read_note("n"), b"works", "the note")
    check(other.json("kho", "dump")["tracker_matches"], "the dump")
    contains(other.must("list", "regions").out, "mine", "regions")
    other.must("run", "plain", "--", "/bin/sleep", "1000")
    wrong(other.outlive("update", "plain"), None, "[liveupdate] enabled")
    equal(other.service("plain")["state"], "running", "the service")
    equal(other.status()["liveupdate_enabled"], False, "status")
    other.stop_outlived()


@case
def fds_too_few(world):
    """A limit of fds above the hard one is refused; one that is full refuses, and goes on."""
    config = world.write("many.toml", "[limits]\nfds = 1000000000\n")
    done = world.run(world.program("outlived"), "--config", config, "--runtime-dir",
                     world.path("x"), timeout=20)
    check(done.code != 0, "more fds than the hard limit")
    contains(done.err, "the hard limit is", "its line")
    other = world.second("few", "[limits]\nfds = 512\n")
    with Wire.connect(other.runtime) as device:
        session = device.create_session("fills")
        count, reply = 0, None
        while count < 600:
            fd = os.memfd_create("f")
            reply = session.ask(p.PRESERVE_FD, fd_body(count), [fd])
            os.close(fd)
            if reply.result:
                break
            count += 1
        check(reply.result, "600 files in a table of 512")
        equal(-reply.result, 24, f"EMFILE after {count}: {reply.text}")
        equal(other.status()["files"], count, "files")
        equal(len(session.files()), count, "it goes on")
        session.close()
    wait_for("the session to end", lambda: other.status()["sessions"] == 0)
    other.must("run", "after", "--", "/bin/sleep", "1000")
    other.expect_clean()
    other.stop_outlived()


@case
def refused_state(world):
    """The control socket answers, the device is absent: the reason, exit 78."""
    # The arena's first preserve fails at every attach: outlived's own region is what it needs.
    other = world.second("held", "", env={"OUTLIVE_FAULTS": "kho.preserve:0=EIO"})
    done = other.outlive("status")
    equal(done.code, 78, f"status: {done.out}{done.err}")
    contains(done.out, "undefined", "its state")
    check(not os.path.exists(other.runtime + "/liveupdate.sock"), "the device is there")
    contains(other.log(), "The incoming tree failed to initialize properly", "its log")
    hello = other.run(other.program("hello"), "1")
    check(hello.code != 0, "hello with refused state")
    contains(hello.err, "inherited state refused", "what a client is told")
    wrong(other.outlive("update", "web"), 78)
    other.kill(other.daemon.pid, 15)
    other.daemon.wait(timeout=30)


def test(world):
    world.start_outlived("[limits]\nsessions-per-uid = 8\nfiles-per-uid = 16\n"
                         "subtrees-per-uid = 4\nconnections-per-uid = 12\n")
    port = free_port()
    world.run_service("web", port)
    pid = world.service("web")["pid"]
    failures = []
    for count, function in enumerate(cases, 1):
        try:
            function(world)
        except Exception as error:
            failures.append(f"{function.__name__}: {type(error).__name__}: {error}")
        # What ran runs, and nothing of it was lost.
        answer = try_ask(port).split()
        if answer != [str(count), str(pid)]:
            raise Failed(f"after {function.__name__}: web answered {answer}")
    for failure in failures:
        print(failure)
    check(not failures, f"{len(failures)} of {len(cases)} cases fail")
    equal(world.status()["worker_deaths"], 0, "deaths of the worker")
    equal(ask(port).split()[0], str(len(cases) + 1), "web, at the end")
    world.expect_clean()
    world.stop_outlived()


main(test)
