"""What is over leaves no bytes behind: a secret that went through everything a client can put into the
arena is nowhere in it afterwards, nor in the memory that outlived's processes share."""

import os

from harness import Failed, check, contains, equal, free_port, main, wait_for
from protocol import Wire

SECRET = os.urandom(32)
WORDS = SECRET[:12].hex()  # for what must be text; short enough for any field


def memory_of(pid, name):
    """The bytes of a memory file that this process has open."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{number}"
        if os.readlink(path).startswith(f"/memfd:{name}"):
            with open(path, "rb") as file:
                return file.read()
    raise Failed(f"outlived has no {name} open")


def needles():
    """Every form in which a part of it would be recognized: 8 bytes happen by chance to nobody."""
    text = WORDS.encode()
    return {SECRET[at:at + 8] for at in range(0, 25)} | {text[at:at + 8] for at in range(17)}


def recorder_of(world):
    """The flight recorder's place: outlived's own log, which names what it speaks of."""
    region = next(one for one in world.json("list", "regions")["regions"]
                  if "log" in one["name"] or "record" in one["name"])
    start = int(region["start"], 16) if isinstance(region["start"], str) else region["start"]
    return start, start + region["size"]


def places(world):
    """(where, how many) of all that is found, beside the flight recorder."""
    first, end = recorder_of(world)
    arena = memory_of(world.status()["pid_worker"], "outlive-arena")
    arena = arena[:first] + bytes(end - first) + arena[end:]
    control = memory_of(world.status()["pid_worker"], "outlive-control")
    found = []
    for name, memory in (("arena", arena), ("control", control)):
        for needle in needles():
            at = memory.find(needle)
            if at >= 0:
                found.append((name, hex(at), needle))
    return found


def put_everywhere(world, device):
    """Sessions, their names and tokens; notes, added and replaced and of two pages; descriptors."""
    session = device.create_session("s" + WORDS)
    for at in range(0, 25):
        fd = os.memfd_create("m")
        session.preserve(int.from_bytes(SECRET[at:at + 8], "little"), fd)
        os.close(fd)
    device.add_note("n" + WORDS, SECRET)
    device.add_note("n" + WORDS, b"x" * 5000 + SECRET * 100)
    world.must("kho", "dump")  # writes the kernel's format of it
    return session


def test(world):
    world.start_outlived("[kho]\narena-max = \"8M\"\n")  # it is searched byte by byte
    port = free_port()
    name = "w" + WORDS
    world.run_service(name, port, "--at", "prepare=veto",
                      run=("--env", "SOMETHING=" + WORDS, "--env", "VETO_WORDS=" + WORDS))
    device = Wire.connect(world.runtime)
    session = put_everywhere(world, device)
    vetoed = world.update_service(name, port, "--name", name,
                                  run=("--env", "MORE=" + WORDS))
    contains(vetoed.err + vetoed.out, WORDS, "the veto's reason")
    found = places(world)
    check(len(found) > 20, f"the secret is not even found while it is there: {found}")

    # Ended by its holder; files unpreserved one by one before, some of them.
    for at in range(5):
        session.unpreserve(int.from_bytes(SECRET[at:at + 8], "little"))
    session.close()
    device.remove_note("n" + WORDS)
    world.must("stop", name, "--force")
    wait_for("the sessions to end", lambda: world.status()["sessions"] == 0)
    device.close()
    equal(places(world), [], "what is left")
    world.expect_clean()

    # The same, with a death of the worker between.
    device = Wire.connect(world.runtime)
    session = put_everywhere(world, device)
    worker = world.status()["pid_worker"]
    session.close()
    device.remove_note("n" + WORDS)
    world.kill(worker)
    wait_for("the next worker", lambda: world.status()["pid_worker"] not in (0, worker))
    wait_for("the session to end", lambda: world.status()["sessions"] == 0)
    equal(places(world), [], "what is left after a death")
    world.expect_clean()
    device.close()
    world.stop_outlived()


main(test)
