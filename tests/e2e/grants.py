"""Grants of the configuration: who is granted a name or a prefix, by uid, by primary or by
supplementary group, sees, retrieves and ends another's sessions of that name, and nothing else of
that user; to everybody else they do not exist. Also on a connection that a new worker took on, and a
reload gives and takes away, of who is connected already, too."""

import errno
import os
import sys

from floods import as_user, result_of
from harness import Skipped, check, contains, equal, main, wait_for
from protocol import END_SESSION, Refused, Wire, session_body, varlink

OWNER, FRIEND, MEMBER, PRIMARY, STRANGER = range(61011, 61016)  # nobody's user ids
TEAM = 61020
NAMES = ["shared", "team-1", "private"]
CONFIG = f"""
[grant.shared]
owner = {OWNER}
uids = [{FRIEND}]
[grant."team-*"]
owner = {OWNER}
gids = [{TEAM}, {PRIMARY}]
"""
MAY = {OWNER: NAMES, FRIEND: ["shared"], MEMBER: ["team-1"], PRIMARY: ["team-1"], STRANGER: []}


def leave(runtime):
    """What the owner has: sessions that nobody holds, one file each."""
    with Wire.connect(runtime) as wire:
        for name in NAMES:
            session = wire.create_session(name, linger=True)
            file = os.memfd_create(name)
            os.write(file, name.encode())
            session.preserve(7, file)
            os.close(file)
            session.close()
    return True


def attempt(name, function):
    try:
        return function(name)
    except Refused as refused:
        return errno.errorcode[refused.errno]


def look(runtime, ready=None, go=None):
    """What a user has of it: [listed on the wire, listed by control, {name: what retrieving gave}]"""
    with Wire.connect(runtime) as wire:
        if ready is not None:
            os.write(ready, b".")
            os.read(go, 1)

        def read(name):
            session = wire.retrieve_session(name)
            file = session.retrieve(7)
            text = os.pread(file, 100, 0).decode()
            os.close(file)
            session.close()
            return text

        listed = varlink(runtime, "ListSessions")[1]["sessions"]
        equal({one["uid"] for one in listed} - {OWNER}, set(), "uids in the list")
        found = sorted(one["name"] for one in listed)
        files = len(varlink(runtime, "ListFiles")[1]["files"])
        return [found, files, {name: attempt(name, read) for name in NAMES}]


def end(runtime, name):
    with Wire.connect(runtime) as wire:
        try:
            wire.call(END_SESSION, session_body(name))
            return "OK"
        except Refused as refused:
            return errno.errorcode[refused.errno]


def own_of_that_name(runtime):
    """The same name of one's own: it is another session, and comes first."""
    with Wire.connect(runtime) as wire:
        session = wire.create_session("shared")
        listed = varlink(runtime, "ListSessions")[1]["sessions"]
        ended = wire.ask(END_SESSION, session_body("shared")).result
        left = varlink(runtime, "ListSessions")[1]["sessions"]
        session.close()
    return [sorted(one["uid"] for one in listed), ended, [one["uid"] for one in left]]


def groups_of(uid):
    return [4, TEAM] if uid == MEMBER else [4]


def all_let_go(world):
    wait_for("all sessions to be let go", lambda: not any(
        one["claimed"] for one in world.json("list", "sessions")["sessions"]))


def see(world, uid, between=lambda: None):
    """look() of that user; `between` happens when it has connected."""
    ready, go = os.pipe(), os.pipe()
    child = as_user(uid, look, world.runtime, ready[1], go[0], groups=groups_of(uid))
    os.close(ready[1])
    check(os.read(ready[0], 1) == b".", "it has connected")
    between()
    os.write(go[1], b".")
    found = result_of(child)
    for fd in (ready[0], go[0], go[1]):
        os.close(fd)
    return found


def reload(world, config):
    world.write("outlive.toml", config)
    return "\n".join(world.json("reload")["applied"])


def given_and_taken(world):
    other = CONFIG.replace(f"uids = [{FRIEND}]", f"uids = [{STRANGER}]")
    for uid, config, may in ((FRIEND, other, False), (STRANGER, CONFIG, False), (STRANGER, other, True)):
        _, _, retrieved = see(world, uid, lambda: contains(
            reload(world, config), "grant", "what the reload applied"))
        equal(retrieved["shared"], "shared" if may else "ENOENT", f"what uid {uid} retrieves")
        all_let_go(world)
    reload(world, CONFIG)


def test(world):
    world.start_outlived(CONFIG)
    if os.geteuid() != 0:
        equal(world.json("list", "sessions")["sessions"], [], "sessions")
        raise Skipped("needs root, for other users")
    check(result_of(as_user(OWNER, leave, world.runtime)), "the owner")
    all_let_go(world)
    for death in (False, True):
        for uid, may in MAY.items():
            listed, files, retrieved = see(
                world, uid, lambda: world.kill(world.status()["pid_worker"]) if death else None)
            print(f"uid {uid}{' after a death of the worker' if death else ''}: {retrieved}")
            wanted = {name: name if name in may else "ENOENT" for name in NAMES}
            equal(retrieved, wanted, f"what uid {uid} retrieves")
            equal(listed, sorted(may), f"sessions in the list of uid {uid}")
            equal(files, len(may), f"files in the list of uid {uid}")
            all_let_go(world)
    given_and_taken(world)
    equal(result_of(as_user(FRIEND, own_of_that_name, world.runtime)), [[OWNER, FRIEND], 0, [OWNER]],
          "owners of the sessions of one name, before and after the own one was ended")
    for uid, name, wanted in (
            (STRANGER, "shared", "ENOENT"), (MEMBER, "shared", "ENOENT"), (FRIEND, "private", "ENOENT"),
            (FRIEND, "shared", "OK"), (MEMBER, "team-1", "OK"), (MEMBER, "team-1", "ENOENT")):
        child = as_user(uid, end, world.runtime, name, groups=groups_of(uid))
        equal(result_of(child), wanted, f"END_SESSION {name} of uid {uid}")
    equal([one["name"] for one in world.json("list", "sessions")["sessions"]], ["private"],
          "what is left")
    world.expect_clean()


if __name__ == "__main__":
    sys.exit(main(test))
