"""The metrics: off by default; on a loopback or Unix socket in Prometheus's format; counters rise over
deaths of the worker; nobody who asks badly holds anybody up."""

import os
import re
import signal
import socket
import time

import protocol as p
from harness import Failed, check, contains, equal, free_port, main, wait_for

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABELS = r'\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\}'
SAMPLE = re.compile(rf"({NAME})({LABELS})? (\d+(?:\.\d+)?)")


def parse(text):
    """{name with labels: value}; the rules of the text format 0.0.4 hold."""
    check(text.endswith("\n"), "the last line has an end")
    samples, types, family = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            check(family not in types, f"{family} comes twice")
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            equal(name, family, "TYPE behind its HELP")
            check(kind in ("counter", "gauge", "histogram"), line)
            check(kind != "counter" or name.endswith("_total"), f"the name of a counter: {name}")
            types[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            check(match is not None, f"no sample: {line}")
            base = match[1]
            if types[family] == "histogram":
                base = re.sub("_(bucket|sum|count)$", "", base)
            equal(base, family, f"the family of {line}")
            key = match[1] + (match[2] or "")
            check(key not in samples, f"{key} comes twice")
            samples[key] = float(match[3])
    for name, kind in types.items():
        if kind == "histogram":
            check_histogram(name, samples)
    return samples


def check_histogram(name, samples):
    buckets = [(key, value) for key, value in samples.items() if key.startswith(name + "_bucket")]
    check(len(buckets) > 3, f"buckets of {name}")
    values = [value for _, value in buckets]
    equal(values, sorted(values), f"buckets of {name} are cumulative")
    contains(buckets[-1][0], 'le="+Inf"', "the last bucket")
    equal(values[-1], samples[name + "_count"], f"{name}_count")


def connect(where):
    if isinstance(where, int):
        return socket.create_connection(("127.0.0.1", where), timeout=30)
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(where)
    return client


def request(where, text):
    """(status, headers, body)"""
    with connect(where) as client:
        client.sendall(text.encode())
        answer = b""
        while part := client.recv(65536):
            answer += part
    head, _, body = answer.decode().partition("\r\n\r\n")
    status, *headers = head.split("\r\n")
    return status, dict(one.lower().split(": ", 1) for one in headers), body


def get(where, path="/metrics", method="GET"):
    return request(where, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n")


def scrape(where):
    status, headers, body = get(where)
    equal(status, "HTTP/1.1 200 OK", "status")
    contains(headers["content-type"], "version=0.0.4", "content type")
    equal(int(headers["content-length"]), len(body.encode()), "length")
    return parse(body)


def what_it_tells(world, port):
    device = p.Wire.connect(world.runtime)
    session = device.create_session("kept")
    memory = os.memfd_create("m")
    os.truncate(memory, 8192)
    session.preserve(1, memory)
    try:
        session.preserve(1, memory)
        raise Failed("a token twice")
    except OSError:
        pass
    uid = os.geteuid()
    told = wait_for("a fresh answer", lambda: (lambda s: s if s.get(
        f'outlive_files{{uid="{uid}"}}') == 1 else None)(scrape(port)))
    equal(told[f'outlive_sessions{{uid="{uid}"}}'], 1, "sessions")
    equal(told[f'outlive_file_bytes{{uid="{uid}"}}'], 8192, "bytes")
    equal(told['outlive_requests_total{request="preserve_fd",errno="0"}'], 1, "preserved")
    equal(told['outlive_requests_total{request="preserve_fd",errno="EEXIST"}'], 1, "refused")
    equal(told["outlive_hold"], 0, "hold")
    check(told["outlive_loop_turn_seconds_count"] > 0, "turns")
    check(told["outlive_fds_open"] < told["outlive_fds_limit"], "descriptors")
    check(0 < told["outlive_arena_used_bytes"] <= told["outlive_arena_limit_bytes"], "arena")
    by_command = parse(world.must("metrics").out)
    equal(set(by_command) - set(told), set(), "the command tells the same")
    os.close(memory)
    return device, session


def updates(world, port):
    service = free_port()
    world.run_service("web", service)
    equal(world.update_service("web", service).code, 0, "an update")
    equal(world.update_service("web", service, "--at", "adopt=veto").code, 3, "a veto")
    told = wait_for("a fresh answer", lambda: (lambda s: s if s[
        'outlive_updates_cancelled_total{reason="veto"}'] == 1 else None)(scrape(port)))
    equal(told["outlive_updates_committed_total"], 1, "committed")
    equal(told["outlive_update_blackout_seconds_count"], 1, "blackouts")
    check(0 < told["outlive_update_blackout_seconds_sum"] < 60, "the blackout")
    equal(told['outlive_services{state="running"}'], 1, "services")


def counters_rise_over_deaths(world, port):
    before = scrape(port)
    for _ in range(3):
        status = world.status()
        world.kill(status["pid_worker"])
        scrape(port)  # waits in the listener until there is a worker
    keeper = world.status()["pid_keeper"]
    world.kill(keeper)
    wait_for("the spare to take over", lambda: world.status()["pid_keeper"] not in (0, keeper))
    world.must("update", "outlived")
    after = scrape(port)
    equal(after["outlive_self_updates_total"], 1, "updates of itself")
    equal(after["outlive_keeper_takeovers_total"], 1, "takeovers")
    check(after["outlive_worker_deaths_total"] >= 4, "deaths")
    for name, value in before.items():
        if re.search(r"_(total|count|sum|bucket)(\{|$)", name):
            check(after[name] >= value, f"{name} fell from {value} to {after[name]}")


def asked_badly(port):
    equal(get(port, "/")[0], "HTTP/1.1 404 Not Found", "another path")
    equal(get(port, method="POST")[0], "HTTP/1.1 405 Method Not Allowed", "another method")
    equal(request(port, "hello\r\n\r\n")[0], "HTTP/1.1 400 Bad Request", "no HTTP")
    status, headers, body = get(port, method="HEAD")
    equal((status, body), ("HTTP/1.1 200 OK", ""), "HEAD")
    check(int(headers["content-length"]) > 0, "HEAD's length")
    try:
        equal(request(port, "GET /metrics HTTP/1.1\r\nX: " + "x" * 5000)[0],
              "HTTP/1.1 431 Request Header Fields Too Large", "a long head")
    except ConnectionError:
        pass  # what it had not read yet was reset


def nobody_is_held_up(world, port):
    silent = [connect(port) for _ in range(40)]
    for client in silent[:20]:
        client.sendall(b"GET /met")
    scrape(port)
    world.status()
    # Who says nothing is cut off, by time or by those who come after.
    wait_for("the silent ones to be cut off", lambda: all(ended(client) for client in silent))
    for client in silent:
        client.close()
    deadline = time.monotonic() + 30
    scrape(port)
    check(time.monotonic() < deadline, "a scrape after them")


def ended(client):
    client.setblocking(False)
    try:
        return client.recv(100) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def moves_and_ends(world, port):
    path = world.runtime + "/metrics.sock"  # where the confined worker may make one
    world.write("outlive.toml", f'[metrics]\nlisten = "unix:{path}"\n')
    contains("\n".join(world.json("reload")["applied"]), "[metrics] listen: ", "applied")
    equal(os.stat(path).st_mode & 0o777, 0o660, "who may connect")
    check(scrape(path), "on the Unix socket")
    try:
        connect(port).close()
        raise Failed("the old address still answers")
    except ConnectionRefusedError:
        pass
    # An address that can't be had refuses the whole reload.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        world.write("outlive.toml", f'[metrics]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n')
        equal(world.outlive("reload").code, 1, "an address that is taken")
    check(scrape(path), "the one before goes on")
    told = wait_for("a fresh answer", lambda: (lambda s: s if s[
        'outlive_reloads_total{result="refused"}'] == 1 else None)(scrape(path)))
    equal(told['outlive_reloads_total{result="applied"}'], 2, "reloads")
    world.kill(world.status()["pid_worker"])
    check(scrape(path), "after a death")
    world.write("outlive.toml", "")
    world.must("reload")
    check(not os.path.exists(path), "it is gone when nobody wants it")


def in_hold_mode(world):
    port = free_port()
    other = world.second("held", f'[limits]\nworker-deaths = 0\n[metrics]\nlisten = "127.0.0.1:{port}"\n')
    other.kill(other.status()["pid_worker"], signal.SIGABRT)
    wait_for("hold mode", lambda: other.outlive("status").code == 78)
    told = scrape(port)
    equal(told["outlive_hold"], 1, "hold")
    equal(parse(other.must("metrics").out)["outlive_hold"], 1, "hold, by the command")


def test(world):
    port = free_port()
    world.start_outlived("")
    try:
        connect(port)
        raise Failed("somebody listens, by default")
    except ConnectionRefusedError:
        pass
    world.write("outlive.toml", f'[metrics]\nlisten = "127.0.0.1:{port}"\n')
    world.must("reload")
    held = what_it_tells(world, port)
    updates(world, port)
    counters_rise_over_deaths(world, port)
    asked_badly(port)
    nobody_is_held_up(world, port)
    moves_and_ends(world, port)
    for one in held:
        one.close()
    in_hold_mode(world)


main(test)
