"""What follows when a service ends: restart no, on-failure (the default), always; and one that ends
again and again is not started for ever."""

from harness import contains, equal, main, wait_for

# Serves (it lives long enough to be ready), and ends with the status in the file when there is one.
PROGRAM = """
echo start >> {dir}/{name}.starts
while [ ! -s {dir}/{name}.end ]; do sleep 0.02; done
status=$(cat {dir}/{name}.end)
: > {dir}/{name}.end
exit $status
"""


def starts(world, name):
    with open(world.path(name + ".starts")) as file:
        return len(file.readlines())


def begin(world, name, *options):
    world.write(name + ".end", "")
    world.must("run", name, *options, "--", "/bin/sh", "-c",
               PROGRAM.format(dir=world.dir, name=name))


def end(world, name, status):
    world.write(name + ".end", f"{status}\n")


def state(world, name, wanted):
    wait_for(f"{name} to be {wanted}", lambda: world.service(name)["state"] == wanted)


def test(world):
    world.start_outlived()
    begin(world, "never", "--restart", "no")
    begin(world, "failure")
    begin(world, "always", "--restart", "always")

    end(world, "never", 7)
    state(world, "never", "failed")
    contains(world.service("never")["last_exit"], "7", "how it ended")
    equal(starts(world, "never"), 1, "starts of never")

    end(world, "failure", 1)
    wait_for("a second start", lambda: starts(world, "failure") == 2)
    state(world, "failure", "running")
    end(world, "failure", 0)
    state(world, "failure", "stopped")
    equal(starts(world, "failure"), 2, "starts after a clean end")

    end(world, "always", 0)
    wait_for("a second start", lambda: starts(world, "always") == 2)
    state(world, "always", "running")
    equal(world.service("always")["restarts"], 1, "restarts")

    # One that ends again and again at once: the pauses grow.
    while "times in a row, the next start is in" not in world.log():
        pid = wait_for("it to run", lambda: world.service("always")["pid"])
        world.kill(pid)
        wait_for("its end to be seen", lambda: world.service("always")["pid"] != pid)
    state(world, "always", "backoff")
    world.must("stop", "always", "--force")
    equal(world.service("always"), None, "stopped in its pause")
    world.stop_outlived()


main(test)
