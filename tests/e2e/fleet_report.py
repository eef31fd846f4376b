"""A refusal of inherited state is reported over HTTP, before anything is done about it: until somebody takes it,
and the policy waits for one try at most. With `fresh`, beside the new start. The address may be a name."""

import json
import os
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from damaged_state import DAMAGES, damaged
from harness import check, contains, equal, main, wait_for

LONG = 600_000  # ms: longer than any of this


class Fleet:
    """Takes reports; answers with `codes`, the last one for ever."""

    def __init__(self, port, codes, look=lambda: None):
        self.got = []  # (path, type, report, what look() said)
        fleet = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fleet.got.append((self.path, self.headers["Content-Type"], json.loads(body), look()))
                self.send_response(codes[min(len(fleet.got), len(codes)) - 1])
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def config(port, policy, try_ms=LONG, host="127.0.0.1", most_ms=LONG):
    return (f'[liveupdate]\non-incoming-failure = "{policy[0]}"\n{policy[1]}'
            f'[fleet]\nreport = "http://{host}:{port}/refused?x=1"\n'
            f'report-timeout-ms = {most_ms}\ntry-timeout-ms = {try_ms}\n')


def rebooting(world, name):
    marker = world.path(f"rebooted-{name}")
    return marker, ("reboot", f'reboot-command = ["/bin/sh", "-c", "echo > {marker}"]\n'
                              f"reboot-timeout-ms = {LONG}\n")


def refuse(world, name, text):
    one, arena, _, peer = damaged(world, name, text, DAMAGES["another version"])
    os.close(arena.fd)
    return one, peer


def end(one, peer):
    os.close(peer)
    one.daemon.terminate()
    wait_for("outlived to end", lambda: one.daemon.poll() is not None)


def is_report(report, policy):
    path, kind, status, _ = report
    equal((path, kind), ("/refused?x=1", "application/json"), "the request")
    equal(status["state"], "undefined", "state")
    contains(status["refused"], "outlive-records-v9", "why")
    equal((status["hostname"], status["on_incoming_failure"]), (socket.gethostname(), policy), "who")


def until_it_is_taken(world):
    fleet = Fleet(0, [503, 500, 204])
    one, peer = refuse(world, "hold", config(fleet.port, ("hold", "")))
    wait_for("the report to be taken", lambda: "is reported to 127.0.0.1" in one.log())
    contains(one.log(), "(try 3)", "the log")
    equal(len(fleet.got), 3, "reports")
    for report in fleet.got:
        is_report(report, "hold")
    equal(one.outlive("status").code, 78, "it is held")
    end(one, peer)
    fleet.close()


def before_the_policy(world):
    marker, policy = rebooting(world, "first")
    fleet = Fleet(0, [200], look=lambda: os.path.exists(marker))
    one, peer = refuse(world, "first", config(fleet.port, policy))
    wait_for("the reboot command", lambda: os.path.exists(marker))
    equal([report[3] for report in fleet.got], [False], "what had been done when the report came")
    is_report(fleet.got[0], "reboot")
    end(one, peer)
    fleet.close()


def nobody_listens(world):
    """The policy goes on after one try, and the tries go on beside it."""
    with socket.socket() as taken:  # bound, so that nobody else gets the port
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        marker, policy = rebooting(world, "dead")
        one, peer = refuse(world, "dead", config(port, policy))
        wait_for("the reboot command", lambda: os.path.exists(marker))
        contains(one.log(), "ECONNREFUSED", "the log")
    fleet = Fleet(port, [200])
    wait_for("the report", lambda: fleet.got)
    is_report(fleet.got[0], "reboot")
    end(one, peer)
    fleet.close()


def nobody_answers(world):
    """A try ends by itself, too."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        marker, policy = rebooting(world, "hole")
        one, peer = refuse(world, "hole", config(hole.getsockname()[1], policy, try_ms=100))
        wait_for("the reboot command", lambda: os.path.exists(marker))
        check("is reported" not in one.log(), "nobody has answered")
        end(one, peer)


def by_name(world):
    """Each of its addresses is tried: nobody listens at the IPv6 one."""
    fleet = Fleet(0, [200])
    one, peer = refuse(world, "name", config(fleet.port, ("hold", ""), host="localhost"))
    wait_for("the report to be taken", lambda: "is reported to localhost" in one.log())
    is_report(fleet.got[0], "hold")
    end(one, peer)
    fleet.close()


def name_of_nobody(world):
    """A try like any: no such name, or no DNS server that answers."""
    marker, policy = rebooting(world, "nobody")
    one, peer = refuse(world, "nobody", config(80, policy, try_ms=1000, host="nobody.invalid", most_ms=3000))
    wait_for("the reboot command", lambda: os.path.exists(marker))
    wait_for("its end", lambda: "the refusal is not reported" in one.log())
    lines = [line for line in one.log().splitlines() if "'nobody.invalid': " in line]
    equal(len(lines), 2, f"what the log says: {one.log()}")
    contains(lines[0], "; trying again", "after the first try")
    check(int(re.search(r"(\d+) tries", lines[1]).group(1)) > 1, f"it was tried again: {lines[1]}")
    end(one, peer)


def beside_a_fresh_start(world):
    fleet = Fleet(0, [200])
    one, peer = refuse(world, "fresh", config(fleet.port, ("fresh", "")))
    wait_for("the report to be taken", lambda: "is reported to 127.0.0.1" in one.log())
    is_report(fleet.got[0], "fresh")
    wait_for("a new start", lambda: one.outlive("status").code == 0)
    one.expect_clean()
    os.close(peer)
    one.stop_outlived()
    fleet.close()


def test(world):
    until_it_is_taken(world)
    before_the_policy(world)
    nobody_listens(world)
    nobody_answers(world)
    by_name(world)
    name_of_nobody(world)
    beside_a_fresh_start(world)


main(test)
