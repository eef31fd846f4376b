"""Floods of outlived by a hostile user, and what they cost another one: for hostile.py.

The victim is an ordinary client that asks outlived and a bare server (one process, SOCK_SEQPACKET,
one descriptor: the least that anybody can do) in turns, so that both live through the same.
"""

import json
import os
import select
import signal
import socket
import struct
import time
import traceback

from harness import PATIENCE, Failed
from protocol import (
    FLAG_REPLY, HEADER, LIST, MAGIC, PRESERVE_FD, STATUS, VERSION, Closed, Refused, Wire, fd_body)


def as_user(uid, function, *arguments, groups=()):
    """Runs it in a process of that user, in a session of its own, as after a login: where autogroups
    are on, those share the processors. A pid and the pipe with what it says at its end."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(reader)
        os.setsid()
        os.setgroups(groups)
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        result = function(*arguments)
        with os.fdopen(writer, "w") as file:
            json.dump(result, file)
        code = 0
    except BaseException:  # noqa: BLE001 - said, and the parent fails
        traceback.print_exc()
    finally:
        os._exit(code)


def result_of(child):
    pid, reader = child
    with os.fdopen(reader) as file:
        text = file.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise Failed(f"a user's process ended with {status}")
    return json.loads(text)


# ---- the bare server -----------------------------------------------------------------------------


def start_bare(path):
    """Answers each message with its header, and closes what came with it. Returns its pid."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(16)
    os.chmod(path, 0o666)
    pid = os.fork()
    if pid:
        listener.close()
        return pid
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()  # as outlived
        poll, clients = select.epoll(), {}
        poll.register(listener, select.EPOLLIN)
        while True:
            for number, _ in poll.poll():
                if number == listener.fileno():
                    client, _ = listener.accept()
                    clients[client.fileno()] = client
                    poll.register(client, select.EPOLLIN)
                    continue
                data, fds, _, _ = socket.recv_fds(clients[number], 65536, 253)
                for fd in fds:
                    os.close(fd)
                if not data:
                    poll.unregister(number)
                    clients.pop(number).close()
                    continue
                magic, version, request, _, _, sequence = HEADER.unpack_from(data)
                clients[number].send(
                    HEADER.pack(magic, version, request, FLAG_REPLY, 0, sequence))
    finally:
        os._exit(1)


# ---- the victim ----------------------------------------------------------------------------------


def p(times, part):
    return sorted(times)[int(len(times) * part)] * 1e6


def victim(runtime, bare, seconds):
    """us: {outlived: [p50, p99], bare: [p50, p99], connect: p99}, and how many."""
    session = Wire.connect(runtime, timeout=PATIENCE).create_session("latency")
    peer = Wire(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET), timeout=PATIENCE)
    peer.sock.connect(bare)
    fd = os.memfd_create("m")
    times = {"outlived": [], "bare": [], "connect": []}
    end = time.monotonic() + seconds
    next_connect = 0
    while time.monotonic() < end:
        for name, wire in (("outlived", session), ("bare", peer)):
            start = time.perf_counter()
            wire.preserve(1, fd)
            wire.unpreserve(1)
            times[name].append(time.perf_counter() - start)
            time.sleep(0.0005)
        if time.monotonic() > next_connect:
            start = time.perf_counter()
            with Wire.connect(runtime, timeout=PATIENCE) as another:
                another.call(STATUS, struct.pack("<II", 8, 0))
            times["connect"].append(time.perf_counter() - start)
            next_connect = time.monotonic() + 0.05
    found = {name: [p(list_, 0.5), p(list_, 0.99)] for name, list_ in times.items()}
    found["count"] = len(times["outlived"])
    return found


# ---- users who do nothing wrong ------------------------------------------------------------------


def ask_often(runtime, seconds):
    """How often it was answered: one request after another."""
    wire, answers = Wire.connect(runtime, timeout=PATIENCE), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wire.call(STATUS, struct.pack("<II", 8, 0))
        answers += 1
    return answers


def ask_now_and_then(runtime, seconds):
    wire, answers = Wire.connect(runtime, timeout=PATIENCE), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wire.call(STATUS, struct.pack("<II", 8, 0))
        answers += 1
        time.sleep(0.01)
    return answers


# ---- the attackers -------------------------------------------------------------------------------


def flood(runtime, seconds):
    """One way after another, as fast as it goes. {way: [done, cut short]}"""
    device = runtime + "/liveupdate.sock"

    def connect(path, kind):
        sock = socket.socket(socket.AF_UNIX, kind)
        sock.setblocking(False)
        sock.connect(path)
        return sock

    def connections():
        return [connect(device, socket.SOCK_SEQPACKET) for _ in range(20)]

    def descriptors():
        sock = connect(device, socket.SOCK_SEQPACKET)
        for _ in range(8):
            socket.send_fds(sock, [HEADER.pack(MAGIC, VERSION, PRESERVE_FD, 0, 0, 1) + fd_body(1)],
                            [0] * 253)
        return [sock]

    def tokens():
        wire = Wire.connect(runtime, timeout=1)
        session = wire.create_session(f"t{os.getpid()}")
        fd = os.memfd_create("m")
        for token in range(50):
            session.preserve(token, fd if token == 0 else 0)
        os.close(fd)
        return [wire.sock, session.sock]

    def names():
        wire = Wire.connect(runtime, timeout=1)
        return [wire.sock] + [wire.create_session(f"n{os.getpid()}-{i}").sock for i in range(20)]

    def messages(data):
        def send():
            sock = connect(device, socket.SOCK_SEQPACKET)
            for _ in range(20):
                sock.send(data)
            return [sock]
        return send

    def never_read():
        sock = connect(device, socket.SOCK_SEQPACKET)
        for sequence in range(1, 100):
            sock.send(HEADER.pack(MAGIC, VERSION, STATUS, 0, 0, sequence) + struct.pack("<II", 8, 0))
        return [sock]

    def calls():
        sock = connect(runtime + "/control.sock", socket.SOCK_STREAM)
        for _ in range(20):
            sock.send(b'{"method":"org.outlive.Orchestrator.ListSessions","parameters":{}}\0')
        return [sock]

    ways = {"connections": connections, "descriptors": descriptors, "tokens": tokens, "names": names,
            "huge messages": messages(bytes(60000)), "tiny messages": messages(b"\1"),
            "half messages": messages(HEADER.pack(MAGIC, VERSION, LIST, 0, 0, 1)),
            "never read": never_read, "control calls": calls}
    done = {name: [0, 0] for name in ways}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, way in ways.items():
            socks, cut_short = [], 0
            try:
                socks = way()
            except (OSError, Closed, Refused):
                cut_short = 1
            for sock in socks:
                sock.close()
            done[name][0] += 1
            done[name][1] += cut_short
    return done
