"""What kills the worker each time it is carried out is answered EIO and not tried again, a request
as well as a control call. Everybody else goes on. Two deaths are enough when they are its own fault;
SIGKILL may come from outside and mean nothing, so it takes four of these."""

import errno
import os

import protocol as p
from harness import check, equal, main


def poisoned_request(world, how, deaths):
    other = world.second("request-" + how, env={"OUTLIVE_FAULTS": f"luo.preserve:1={how}"})
    victim = p.Wire.connect(other.runtime).create_session("victim")
    with p.Wire.connect(other.runtime) as poisoner:
        session = poisoner.create_session("poison")
        equal(session.ask(p.PRESERVE_FD, p.fd_body(1), [os.memfd_create("x")]).result, -errno.EIO,
              "the poison request")
        equal(other.status()["worker_deaths"], deaths, "deaths")
        equal(session.files(), [], "what it did")
        # The connection goes on, and so do the others.
        equal(victim.files(), [], "somebody else's request")
        equal(other.status()["worker_deaths"], deaths, "deaths, afterwards")
    other.expect_clean()
    other.stop_outlived()


def poisoned_call(world, how, deaths):
    other = world.second("call-" + how,
                         env={"OUTLIVE_FAULTS": f"daemon.control.ListSessions:1={how}"})
    error, reply = p.varlink(other.runtime, "ListSessions")
    check(error is not None and reply.get("errno") == errno.EIO, f"the poison call: {error} {reply}")
    equal(other.status()["worker_deaths"], deaths, "deaths")
    # Sent again it is tried again, as often.
    error, reply = p.varlink(other.runtime, "ListSessions")
    equal(reply.get("errno"), errno.EIO, "the poison call, again")
    equal(other.status()["worker_deaths"], 2 * deaths, "deaths")
    other.expect_clean()
    other.stop_outlived()


def innocent_call(world):
    """Each worker dies as soon as it has replied: nobody's call was the cause, however alike they are."""
    other = world.second("innocent", env={"OUTLIVE_FAULTS": "daemon.replied:1=abort"})
    for deaths in range(6):
        error, reply = p.varlink(other.runtime, "Status")
        check(error is None, f"a call after {deaths} deaths: {error} {reply}")
    check(other.status()["worker_deaths"] > 2, "the workers didn't die")
    other.stop_outlived()  # nor is what was acknowledged forgotten


def test(world):
    world.start_outlived()
    poisoned_request(world, "abort", 2)
    poisoned_request(world, "kill", 4)
    poisoned_call(world, "abort", 2)
    poisoned_call(world, "kill", 4)
    innocent_call(world)
    world.stop_outlived()


main(test)
