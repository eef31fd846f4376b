"""An update of outlived itself has a timeline, as one of a service has: its steps over the exec, as a
chart, as JSON and as a page; also one that was refused, rolled back, or went back on probation."""

import os

from harness import check, contains, equal, main, wait_for

CONFIG = "[takeover]\nready-timeout-ms = 60000\nprobation-ms = 600000\n"
STEPS = [("outlived", "rehearsal"), ("old", "stop"), ("old", "leave"), ("outlived", "exec"),
         ("successor", "attach"), ("successor", "ready")]


def listed(world):
    return world.json("list", "updates")["updates"]


def bars_of(timeline):
    return {(one["who"], one["what"]): (one["start_us"], one["end_us"])
            for one in timeline["entries"]}


def updated(world):
    done = world.json("update", "outlived")
    timeline = world.json("timeline")
    equal((timeline["service"], timeline["result"], timeline["state"], timeline["reason"]),
          ("outlived", "updated", "normal", None), "the newest update")
    bars = bars_of(timeline)
    check(all(end is not None for _, end in bars.values()), f"bars without an end: {bars}")
    for before, after in zip(STEPS, STEPS[1:]):
        equal(bars[before][1], bars[after][0], f"{after} begins where {before} ends")
    equal(bars[STEPS[0]][0], 0, "the rehearsal is first")
    blackout = bars["outlived", "blackout"]
    equal(blackout, (bars["old", "leave"][0], bars["successor", "ready"][1]), "the blackout")
    equal(blackout, (timeline["blackout_start_us"], timeline["blackout_end_us"]), "the blackout")
    equal(timeline["blackout_us"], done["pause_us"], "the blackout is the pause")
    equal(len(bars), len(STEPS) + 1, f"bars: {bars}")
    return timeline


def shown(world, timeline):
    """To people, too."""
    equal(listed(world)[0]["update"], timeline["update"], "the newest in the list")
    contains(world.must("list", "updates").out, f"{timeline['update']}", "the list")
    text = world.must("timeline", timeline["update"]).out
    contains(text, f"update {timeline['update']}: updated outlived, blackout", "the chart")
    for who, what in STEPS:
        check(any(line.split()[:2] == [who, what] for line in text.splitlines()),
              f"{who} {what} is in the chart:\n{text}")
    page = world.path("page.html")
    world.must("timeline", timeline["update"], "--html", page)
    with open(page) as file:
        contains(file.read(), "rehearsal", "the page")


def not_updated(world, how, result, wanted, absent):
    world.outlive("update", "outlived", "--binary", world.broken(how))
    timeline = world.json("timeline")
    equal(timeline["result"], result, f"{how}: result")
    check(timeline["reason"], f"{how}: a reason")
    bars = bars_of(timeline)
    check(all(end is not None for _, end in bars.values()), f"{how}: bars without an end: {bars}")
    for who, what in wanted:
        check((who, what) in bars, f"{how}: {who} {what} is in {bars}")
    for who, what in absent:
        check((who, what) not in bars, f"{how}: {who} {what} is in {bars}")
    contains(world.must("timeline").out, timeline["reason"], f"{how}: the chart")
    return bars


def went_back(world):
    """It took over, and is known to have been no good only later."""
    back = world.status()["self_rollbacks"]
    world.outlive("update", "outlived", "--binary", world.broken("crashing"))
    wait_for("the binary before to be back", lambda: world.status()["self_rollbacks"] == back + 1)
    timeline = world.json("timeline")
    equal(timeline["result"], "rolled back", "result")
    bars = bars_of(timeline)
    start, end = bars["outlived", "went back"]
    check(bars["successor", "ready"][1] <= start <= end, f"it went back after it was ready: {bars}")
    check(("outlived", "rolled back") not in bars, f"that is no roll back before it served: {bars}")


def seen_by(world):
    """Only by who may update outlived."""
    if os.geteuid() != 0:
        return
    done = world.outlive("list", "updates", "--json", user=65534, group=65534, extra_groups=[])
    equal((done.code, done.out.count("outlived")), (0, 0), f"what others see: {done.out}{done.err}")
    done = world.outlive("timeline", user=65534, group=65534, extra_groups=[])
    equal(done.code, 1, f"others' timeline: {done.out}")


def test(world):
    world.start_outlived(CONFIG)
    equal(world.outlive("timeline").code, 1, "there was none yet")
    first = updated(world)
    shown(world, first)
    seen_by(world)
    world.kill(world.status()["pid_worker"])
    equal(world.json("timeline"), first, "the next worker says the same")
    second = updated(world)
    equal([one["update"] for one in listed(world)], [second["update"], first["update"]], "the list")
    equal(world.json("timeline", first["update"]), first, "the one before says the same")

    blackout = ("outlived", "blackout")
    not_updated(world, "rehearsal", "refused", STEPS[:1], STEPS[1:] + [blackout])
    bars = not_updated(world, "exec", "rolled back", STEPS[:5] + [blackout], STEPS[5:])
    start, end = bars["outlived", "rolled back"]
    check(bars["outlived", "exec"][0] < start == end <= bars[blackout][1],
          f"the blackout ends after that, when the old one serves again: {bars}")
    went_back(world)
    equal([one["result"] for one in listed(world)],
          ["rolled back", "rolled back", "refused", "updated", "updated"], "the list")
    world.expect_clean()
    world.stop_outlived()


main(test)
