"""`outlive plan --pid` of a process that knows nothing of us and holds many kinds of descriptors:
each is named, with what becomes of it, for every scope. And `outlive plan NAME` of a service."""

import json
import os
import subprocess

from harness import check, contains, equal, free_port, main

KINDS = r"""
import ctypes, os, pty, select, signal, socket, sys, tempfile, time
libc = ctypes.CDLL(None)
keep = [os.memfd_create("m"), *os.pipe(), *pty.openpty()]
keep += [socket.create_server(("127.0.0.1", 0)), *socket.socketpair()]
client = socket.create_connection(keep[5].getsockname())
keep += [client, keep[5].accept()[0], socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
keep += [select.epoll(), open(sys.argv[1]), os.open("/", os.O_RDONLY | os.O_DIRECTORY)]
keep += [open("/dev/null"), libc.eventfd(3, 0), libc.timerfd_create(1, 0), libc.inotify_init1(0)]
keep += [os.pidfd_open(os.getpid())]
listener = socket.socket(socket.AF_UNIX)
listener.bind("\0outlive-test-%d" % os.getpid())
listener.listen()
keep.append(listener)
print("ready", flush=True)
time.sleep(1000)
"""
WANTED = ("memfd", "pipe", "pty", "tcp", "udp", "epoll", "regular", "directory", "eventfd",
          "timerfd", "inotify", "pidfd", "unix")


def test(world):
    program = world.write("kinds.py", KINDS)
    process = world.start("python3", program, program, stdout=subprocess.PIPE, text=True)
    equal(process.stdout.readline(), "ready\n", "the process")
    open_fds = {int(name) for name in os.listdir(f"/proc/{process.pid}/fd")}
    for daemon in (False, True):  # it needs no outlived for that, and goes with one
        if daemon:
            world.start_outlived()
        done = world.outlive("plan", "--pid", str(process.pid), "--json")
        equal(done.code, 0, f"plan: {done.err}")
        plan = json.loads(done.out)
        equal({one["fd"] for one in plan["files"]}, open_fds, "its descriptors")
        kinds = " ".join(one["kind"].lower() for one in plan["files"])
        for kind in WANTED:
            contains(kinds, kind, "kinds")
        equal({one["crosses"] for one in plan["files"]}, {"keep"}, "an update of a service")
        equal(plan["lost"], 0, "lost in an update of a service")
        done = world.outlive("plan", "--pid", str(process.pid), "--scope", "kernel", "--json")
        equal(done.code, 4, f"something would be lost: {done.err}")
        kernel = json.loads(done.out)
        by_kind = {one["kind"].lower(): one["crosses"] for one in kernel["files"]}
        check(kernel["lost"] > 0, f"lost by a kexec: {by_kind}")
        check(set(by_kind.values()) > {"lost"}, f"ways over a kexec: {by_kind}")
    text = world.must("plan", "--pid", str(process.pid)).out
    contains(text, "memfd", "its table")

    done = world.outlive("plan", "--pid", "999999999")
    check(done.code != 0, "a pid that is none")
    contains(done.one_line(), "999999999", "its line")
    process.stdout.close()

    world.run_service("web", free_port())
    plan = world.json("plan", "web")
    equal(len(plan["files"]), 2, f"files of the service: {plan['files']}")
    equal(plan["lost"], 0, "lost")
    done = world.outlive("plan", "nobody")
    check(done.code != 0, "a plan of no service")
    contains(done.one_line(), "nobody", "its line")
    world.stop_outlived()


main(test)
