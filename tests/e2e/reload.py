"""A changed configuration without a restart: what can be applied is, what can't is named, a bad file
changes nothing, and the one accepted last is in force after any death, whatever is on the disk."""

import os
import signal
import socket

import protocol as p
from harness import check, contains, equal, main, wait_for

SLEEPER = ["/bin/sh", "-c", "echo started >> {marker}; while :; do sleep 1000; done"]


def service(name, marker, word="same"):
    command = [text.format(marker=marker) for text in SLEEPER] + [word]
    return f"[services.{name}]\ncommand = {command}\n"


def starts(path):
    try:
        with open(path) as file:
            return len(file.readlines())
    except OSError:
        return 0


def sessions_that_fit(world):
    """How many sessions our user gets, at most 8."""
    device = p.Wire.connect(world.runtime)
    got = []
    try:
        for i in range(8):
            try:
                got.append(device.create_session(f"s{i}"))
            except OSError:
                break
        return len(got)
    finally:
        for session in got:
            session.close()
        device.close()
        # A session ends with its last descriptor; outlived has to see that first.
        wait_for("the sessions to end", lambda: world.status()["sessions"] == 0)


def reload(world, text):
    world.write("outlive.toml", text)
    return world.json("reload")


def kill_worker(world):
    worker = world.status()["pid_worker"]
    world.kill(worker)
    wait_for("another worker", lambda: world.status()["pid_worker"] not in (0, worker))


NOTES = '[kho]\nreserve-mem = ["notes 64K 4K"]\n'  # can't be taken back


def limits(sessions, more=NOTES):
    return f"[limits]\nsessions-per-uid = {sessions}\n{more}"


def what_can_be_is_applied(world):
    said = reload(world, limits(3) + '[outlived]\nlog-level = "debug"\n')
    equal(said["path"], world.path("outlive.toml"), "the file")
    equal(said["pending"], [], "pending")
    contains("\n".join(said["applied"]), "[limits] sessions-per-uid: 5 -> 3", "applied")
    contains("\n".join(said["applied"]), '[outlived] log-level: "info" -> "debug"', "applied")
    equal(sessions_that_fit(world), 3, "sessions")
    regions = {one["name"] for one in world.json("list", "regions")["regions"]}
    check("notes" in regions, f"regions: {regions}")
    contains(world.log(), "worker debug: ", "the log, by now")


def what_only_a_start_reads_refuses_it_whole(world):
    equal(world.json("reload")["applied"], [], "applied, of the same file again")
    world.write("outlive.toml", limits(2, '[kho]\narena-max = "2G"\nreserve-mem = ["notes 128K 4K"]\n'
                '[worker]\nconfine = false\n'))
    done = world.outlive("reload")
    equal(done.code, 1, "exit of reload")
    for key in ("[kho] arena-max: 1073741824 -> 2147483648", "[kho] reserve-mem: 'notes' has 65536 bytes",
                "[worker] confine: true -> false"):
        contains(done.one_line(), key, "what is refused")
    check("sessions-per-uid" not in done.one_line(), f"what could be applied isn't named: {done.err}")
    equal(sessions_that_fit(world), 3, "sessions")


def a_bad_file_changes_nothing(world):
    world.write("outlive.toml", "\n[limits]\nsessions-per-uid = 2\nsesions = 7\n")
    done = world.outlive("reload")
    equal(done.code, 1, "exit of reload")
    contains(done.one_line(), "outlive.toml:4: [limits] sesions: unknown key", "its line")
    contains(world.log(), "reload refused, the configuration before goes on: ", "the log")
    equal(sessions_that_fit(world), 3, "sessions")
    os.unlink(world.path("outlive.toml"))
    equal(world.outlive("reload").code, 1, "exit of reload without a file")
    equal(sessions_that_fit(world), 3, "sessions")


def a_death_takes_up_what_was_accepted(world):
    world.write("outlive.toml", "this is = no [configuration\n")
    kill_worker(world)
    equal(sessions_that_fit(world), 3, "sessions after the worker's death")
    keeper = world.status()["pid_keeper"]
    world.kill(keeper)
    wait_for("the spare to take over", lambda: world.status()["pid_keeper"] not in (0, keeper))
    equal(sessions_that_fit(world), 3, "sessions after the keeper's death")
    check("going on with what outlived was started with" not in world.log(), "the kept text is read")


def a_self_update_takes_up_what_was_accepted(world):
    """The next binary's rehearsal and its workers, too: the file is no configuration any more."""
    world.must("update", "outlived")
    equal(sessions_that_fit(world), 3, "sessions after a self update")
    kill_worker(world)
    equal(sessions_that_fit(world), 3, "sessions after it, and a death")
    equal(world.outlive("reload").code, 1, "exit of reload")
    equal(world.status()["self_updates"], 1, "self updates")
    world.expect_clean()


def a_signal_does_the_same(world, notifications):
    while True:  # what was said before, but for MAINPID=, which the full queue may still have kept back
        try:
            notifications.recv(4096)
        except BlockingIOError:
            break
    world.write("outlive.toml", limits(4))
    world.kill(world.status()["pid_keeper"], signal.SIGHUP)
    wait_for("the log to tell", lambda: "[limits] sessions-per-uid: 3 -> 4" in world.log())
    equal(sessions_that_fit(world), 4, "sessions")
    contains("".join(open(f"/proc/{world.status()['pid_worker']}/comm")), "outlived", "the worker")
    notifications.settimeout(30)
    first = notifications.recv(4096).decode()
    if "MAINPID=" in first:
        first = notifications.recv(4096).decode()
    check(first.startswith("RELOADING=1\nMONOTONIC_USEC="), f"the manager is told: {first}")
    equal(notifications.recv(4096).decode(), "READY=1\n", "the manager is told")


def services(world):
    web, api = world.path("web"), world.path("api")
    said = reload(world, limits(4) + service("web", web) + service("api", api))
    equal(sorted(said["applied"]), ["service 'api': started", "service 'web': started"], "applied")
    for path in (web, api):
        wait_for("its start", lambda: starts(path) == 1)
    # Changed: the one that runs goes on, and its next update takes it up. Removed: left running.
    said = reload(world, limits(4) + service("web", web, "other"))
    equal(said["applied"], [], "applied")
    contains("\n".join(said["pending"]), "service 'web' goes on as it was started", "pending")
    contains("\n".join(said["pending"]), "service 'api' is configured no more", "pending")
    equal(starts(web), 1, "starts of web")
    check(world.service("api")["pid"] > 0, "api still runs")
    wait_for("web to run", lambda: world.service("web")["state"] == "running")
    world.must("update", "web")
    equal(world.service("web")["argv"][-1], "other", "web's command")
    # Stopped by an operator: it stays so over a death and over a reload.
    world.must("stop", "web", "--force")
    before = starts(web)
    kill_worker(world)
    said = reload(world, limits(5) + service("web", web, "other"))
    equal(said["applied"], ["[limits] sessions-per-uid: 4 -> 5"], "applied")
    equal((world.service("web"), starts(web)), (None, before), "web, which was stopped")


def a_death_in_the_middle(world):
    """Before the text is kept nothing has happened, after it everything will have."""
    for point, name in (("daemon.reload", "before"), ("daemon.reloaded", "after")):
        marker = world.path("marker-" + name)
        other = world.second(name, limits(5), env={"OUTLIVE_FAULTS": f"{point}:1=kill"})
        other.write("outlive.toml", limits(2) + service("late", marker))
        other.kill(other.status()["pid_keeper"], signal.SIGHUP)
        # Each worker dies at its first reload; the one after two of these doesn't try again.
        wait_for("it to be given up", lambda: "the worker died of it 2 times" in other.log())
        equal(other.status()["worker_deaths"], 2, "deaths")
        if point == "daemon.reload":
            equal(sessions_that_fit(other), 5, "sessions: nothing had happened")
            check(other.service("late") is None, "no service was started")
        else:
            equal(sessions_that_fit(other), 2, "sessions: it was in force")
            wait_for("the service", lambda: starts(marker) == 1)
        other.expect_clean()
        other.stop_outlived()


def test(world):
    notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notifications.bind(world.path("manager"))
    notifications.setblocking(False)
    world.start_outlived(limits(5, ""), env={"NOTIFY_SOCKET": world.path("manager")})
    what_can_be_is_applied(world)
    what_only_a_start_reads_refuses_it_whole(world)
    a_bad_file_changes_nothing(world)
    a_death_takes_up_what_was_accepted(world)
    a_self_update_takes_up_what_was_accepted(world)
    a_signal_does_the_same(world, notifications)
    services(world)
    a_death_in_the_middle(world)
    world.expect_clean()
    world.stop_outlived()


main(test)
