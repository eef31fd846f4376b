"""outlived replaces itself, again and again, under load: no request is lost or doubled, no connection
ends, what is held stays the same open file, a service lives on, and nothing grows.

$COUNT updates (make self-updates COUNT=1000); without it as many as a test run has time for."""

import os

import protocol as p
from harness import Failed, ask, check, children_of, equal, free_port, is_alive, main, wait_for
from killed import Load

TIMES = int(os.environ.get("COUNT", "50"))
FILES = 1000
WARM = 3
PROCESSES = ("pid_keeper", "pid_worker", "pid_spare")
# What an exec or a clone could add to, a little each time: all of these stay as they were.
SAME = ("Threads", "FDSize", "NoNewPrivs", "Seccomp", "Seccomp_filters", "SigBlk", "SigIgn",
        "SigCgt", "CapEff", "Groups")
# Bytes more or less: a process's allocator's, and of what is shared the log of the last 1 MiB.
MEMORY_SLACK = (1 << 20) + (1 << 16)
LOG_OF_ONE = 4096       # bytes of the log that one update may take


def update(world, *options):
    return world.json("update", "outlived", *options)


def facts_of(pid):
    """What must stay the same of a process, and the memory that is its own."""
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.split(":", 1) for line in file)
    facts = {name: status[name].strip() for name in SAME if name in status}
    for name in ("cmdline", "environ", "oom_score_adj"):
        with open(f"/proc/{pid}/{name}", "rb") as file:
            facts[name] = file.read()
    facts["fds"] = len(os.listdir(f"/proc/{pid}/fd"))
    return facts, int(status["RssAnon"].split()[0]) * 1024


def shared_memory_of(pid):
    """Bytes of outlived's own memory files: arena, control block."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        if "outlive" in os.readlink(path):
            facts = os.stat(path)
            found[facts.st_ino] = facts.st_blocks * 512
    return sum(found.values())


def measure(world):
    """(what is to be equal, memory by process); None while an update's traces are still going."""
    status = world.status()
    pids = [status[name] for name in PROCESSES]
    children = children_of(pids[0])
    if pids[2] <= 0 or not set(pids[1:]) <= set(children) or not all(map(is_alive, children)):
        return None  # no spare of the new table, or one that is not buried
    opened = [os.readlink(f"/proc/{pids[0]}/fd/{name}") for name in os.listdir(f"/proc/{pids[0]}/fd")]
    if world.program("outlived") in opened:
        return None  # on probation: the binary before is at hand
    facts = [facts_of(pid) for pid in pids]
    same = {name: facts for name, (facts, _) in zip(PROCESSES, facts)}
    same.update(children=len(children), arena=status["arena_used"], sessions=status["sessions"])
    memory = {name: memory for name, (_, memory) in zip(PROCESSES, facts)}
    return same, dict(memory, shared=shared_memory_of(pids[0]))


def settled(world):
    """The figures, once they are twice the same."""
    seen = []

    def calm():
        try:
            seen.append(measure(world))
        except OSError:
            return False  # a process that was just leaving
        return len(seen) > 1 and seen[-1] is not None and seen[-1][0] == (seen[-2] or [0])[0]
    wait_for("an update's traces to go", calm)
    return seen[-1]


def differences(before, after, of=""):
    """One line for each figure that isn't the same."""
    lines = []
    for name in before:
        if isinstance(before[name], dict):
            lines += differences(before[name], after[name], f"{name} ")
        elif before[name] != after[name]:
            lines.append(f"{of}{name}: {before[name]} before, {after[name]} after")
    return lines


def flat(world, before):
    """The figures now. What has grown stays so; a connection that is just being closed doesn't."""
    seen = [settled(world)]

    def same():
        if differences(before[0], seen[-1][0]):
            seen.append(settled(world))
        return not differences(before[0], seen[-1][0])
    try:
        wait_for("the figures of before", same)
    except Failed as late:
        raise Failed("not flat: " + "; ".join(differences(before[0], seen[-1][0]))) from late
    for name, memory in before[1].items():
        check(abs(seen[-1][1][name] - memory) <= MEMORY_SLACK,
              f"memory of {name}: {memory} before, {seen[-1][1][name]} after")
    return seen[-1]


def hold_files(world, count):
    """A session of its own with that many files, half of them pipes."""
    device = p.Wire.connect(world.runtime)
    session = device.create_session("many")
    held = {}
    for token in range(count):
        fd = os.memfd_create(f"m{token}") if token % 2 else os.pipe()[0]
        held[token] = (os.fstat(fd).st_dev, os.fstat(fd).st_ino)
        session.preserve(token, fd)
        os.close(fd)
    return device, session, held


def same_files(session, held):
    equal(session.files(), list(held), "the files, in their order")


def figures(measured):
    same, memory = measured
    return (f"{same['pid_keeper']['fds']} fds, {same['arena']} bytes of arena, "
            f"{sum(memory.values())} of memory")


def update_under_load(world, keeper, numbers):
    """That many updates while clients work; returns how many requests were answered."""
    loads = [Load(world.runtime, f"load{number}") for number in range(2)]
    for load in loads:
        load.start()
    for number in numbers:
        rounds = [load.rounds for load in loads]
        done = update(world)
        equal((done["result"], done["number"]), ("updated", number), "the update")
        check(done["pause_us"] > 0, f"a pause: {done}")
        equal(world.status()["pid_keeper"], keeper, "the keeper's pid")
        wait_for("requests to be answered", lambda: all(
            load.rounds > before or load.failure for load, before in zip(loads, rounds)))
        for load in loads:
            load.check()
    for load in loads:
        load.end()
    wait_for("the load's sessions to end", lambda: world.status()["sessions"] <= 2)
    update(world)  # the figures are of a worker that nobody has asked for much
    return sum(load.requests for load in loads)


def test(world):
    world.start_outlived("[takeover]\nprobation-ms = 100\n[limits]\nfiles-per-uid = 4000\n")
    port = free_port()
    world.run_service("web", port)
    service = world.service("web")
    device, session, held = hold_files(world, min(FILES, 300 if os.geteuid() else FILES))
    keeper = world.status()["pid_keeper"]
    # Pools of records keep the room that they once needed.
    update_under_load(world, keeper, range(1, WARM + 1))
    before, log = settled(world), len(world.log())
    requests = update_under_load(world, keeper, range(WARM + 2, WARM + TIMES + 2))
    after = flat(world, before)
    same_files(session, held)
    check(ask(port), "the service answers")
    equal(world.service("web")["pid"], service["pid"], "the service's process")
    log = (len(world.log()) - log) / (TIMES + 1)
    check(log <= LOG_OF_ONE, f"{log:.0f} bytes of the log an update")
    equal(world.status()["self_updates"], WARM + TIMES + 2, "updates of itself")
    world.expect_clean()
    check_retrieved(world, session, held)
    device.close()
    # The service can be updated, and its end is noticed: it is still our child.
    equal(world.update_service("web", port).code, 0, "the update of the service")
    world.kill(world.service("web")["pid"])
    wait_for("the service to be started again", lambda: world.service("web")["restarts"] == 1)
    check(not [line for line in world.log().splitlines() if "error" in line], "no error in the log")
    world.stop_outlived()
    equal(world.daemon.returncode, 0, "exit code")
    print(f"{TIMES} updates, {requests} requests answered: {figures(before)} before, "
          f"{figures(after)} after; {log:.0f} bytes of the log an update")


def check_retrieved(world, session, held):
    """Only an incoming session gives files back: look at outlived's own table instead."""
    files = set()
    folder = f"/proc/{world.status()['pid_keeper']}/fd"
    for name in os.listdir(folder):
        try:
            facts = os.stat(os.path.join(folder, name))
        except FileNotFoundError:
            continue  # a connection of ours that was just closed; what is missing is seen below
        files.add((facts.st_dev, facts.st_ino))
    missing = [token for token, identity in held.items() if identity not in files]
    check(not missing, f"files that outlived doesn't hold any more: {missing}")


main(test)
