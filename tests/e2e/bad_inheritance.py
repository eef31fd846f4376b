"""Inherited state that can't be right is refused whole, whatever is wrong with it: no device, status says
why and exits 78, nothing is changed. Then what on-incoming-failure says: hold, fresh, reboot."""

import errno
import hashlib
import json
import os
import shutil
import socket
import stat

from damaged_state import DAMAGES, damaged, preserve_some
from harness import check, contains, equal, main, wait_for


def refused(one):
    def asked():
        done = one.outlive("status")
        return done if done.code == 78 else None

    return wait_for("status to say that it is refused", asked)


def said(one):
    """status, whatever its exit code."""
    return json.loads(one.outlive("status", "--json").out)


def is_absent(one):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        return client.connect_ex(one.runtime + "/liveupdate.sock") == errno.ENOENT


def expect_held(one, arena, after):
    done = refused(one)
    contains(done.out, "undefined", "status")
    check(is_absent(one), "the device's socket is there")
    contains(one.log(), "disabling live update", "the log")
    contains(one.log(), "inherited state refused: ", "the log")
    equal(said(one)["state"], "undefined", "state")
    equal(arena.digest(), after, "the image")


def end(one):
    one.daemon.terminate()
    wait_for("outlived to end", lambda: one.daemon.poll() is not None)


def hold(world, number, what, damage):
    print(what, flush=True)
    one, arena, after, peer = damaged(world, f"h{number}", "", damage)
    expect_held(one, arena, after)
    os.set_blocking(peer, False)
    try:
        equal(os.read(peer, 1), b"nothing", "a pipe that is held")
    except BlockingIOError:
        pass  # still open: no end of file
    if number == 0:
        hello = one.run(one.program("hello"), env=dict(one.environment, PORT="0"))
        check(hello.code != 0, "a client starts over state that is held")
        contains(hello.err + hello.out, "inherited state refused: ", "what the client says")
        # A death changes nothing: the next one refuses it as well.
        one.kill(said(one)["pid_worker"])
        wait_for("the next worker", lambda: one.log().count("disabling live update") == 2)
        expect_held(one, arena, after)
    os.close(arena.fd)
    os.close(peer)
    end(one)


def fresh(world):
    config = '[liveupdate]\non-incoming-failure = "fresh"\n'
    one, arena, after, peer = damaged(world, "fresh", config, DAMAGES["a cycle"])
    wait_for("a new start", lambda: one.outlive("status").code == 0)
    equal(one.status()["state"], "normal", "state")
    saved = [name for name in os.listdir(one.path("state")) if name.startswith("refused-")]
    equal(len(saved), 1, "saved images")
    path = one.path("state/" + saved[0])
    contains(one.log(), path, "the log")
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "its mode")
    with open(path, "rb") as file:
        equal(hashlib.sha256(file.read(1 << 22)).hexdigest(), after, "the saved image")
    equal(os.stat(path).st_size, os.fstat(arena.fd).st_size, "its size")
    equal(one.run(*one.daemon_words(config), "--check", path).code, 78, "outlived --check")
    equal(one.json("list", "sessions")["sessions"], [], "sessions of the new start")
    equal(wait_for("the pipe's end", lambda: os.read(peer, 1) == b""), True, "what was held")
    again = preserve_some(one)
    one.expect_clean()
    os.close(arena.fd)
    del again
    one.stop_outlived()


def fresh_without_room(world):
    """What can't be saved is held."""
    config = '[liveupdate]\non-incoming-failure = "fresh"\n'

    def damage(arena):
        shutil.rmtree(world.path("noroom/state"))
        DAMAGES["another version"](arena)

    one, arena, after, peer = damaged(world, "noroom", config, damage)
    expect_held(one, arena, after)
    contains(one.log(), "can't be saved, so it is held", "the log")
    os.close(arena.fd)
    os.close(peer)
    end(one)


def lines_of(path):
    with open(path) as file:
        return file.read().split()


def reboot(world):
    marker = world.path("rebooted")
    config = f"""[liveupdate]
on-incoming-failure = "reboot"
reboot-command = ["/bin/sh", "-c", "echo $$ >> {marker}"]
reboot-timeout-ms = 300
"""
    one, arena, after, peer = damaged(world, "reboot", config, DAMAGES["another version"])
    wait_for("the last try", lambda: "still here after 3 tries" in one.log())
    wait_for("its last run", lambda: len(lines_of(marker)) == 3)
    expect_held(one, arena, after)
    os.close(arena.fd)
    os.close(peer)
    end(one)


def test(world):
    for number, (what, damage) in enumerate(DAMAGES.items()):
        hold(world, number, what, damage)
    fresh(world)
    fresh_without_room(world)
    reboot(world)


main(test)
