#!/usr/bin/env python3
"""hello.py [PORT]: its listener and counter survive updates; the bare protocol (src/abi/wire.h)."""
import os, select, socket, struct, sys
START, PREPARE, FREEZE, CANCEL, ADOPT, COMMITTED, RETIRE = range(1, 8)
device = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
device.connect(os.environ["OUTLIVE_RUNTIME_DIR"] + "/liveupdate.sock")  # outlived has set it
sequence, events, serving, listener = {}, [], False, None
def talk(sock, request=None, body=b"", fds=()):  # a request and its reply; without one: an event
    if request is not None:
        sequence[sock] = sequence.get(sock, 0) + 1
        header = struct.pack("<IHHIiQ", 0x314c564f, 1, request, 0, 0, sequence[sock])
        socket.send_fds(sock, [header + body], fds)
    while True:
        data, got, _, _ = socket.recv_fds(sock, 65536, 1)
        result, number = struct.unpack_from("<iQ", data or sys.exit("outlived has gone"), 12)
        if number == 0: events.append(struct.unpack_from("<IQ", data, 28))  # (step, update)
        if result: sys.exit(data[28:].split(b"\0")[0].decode())
        if request is None or number == sequence[sock]:
            return data[24:], [socket.socket(fileno=fd) for fd in got]
def name(second): return struct.pack("<Ii64s", 72, second, b"hello.py")
def keep(count): talk(device, 0x82, name(len(str(count))) + str(count).encode())  # ADD_SUBTREE
me = struct.pack("<IIIIQ", 24, 0, 0, 0, int(os.environ["OUTLIVE_INSTANCE"]))
role, update = struct.unpack_from("<IQ", talk(device, 0x85, me)[0], 4)  # PARTICIPATE
if role == 1:  # fresh: CREATE_SESSION, PRESERVE_FD
    count, listener = 0, socket.create_server(("127.0.0.1", int((sys.argv + [7071])[1])))
    session, serving = talk(device, 0x00, name(-1))[1][0], True
    talk(session, 0x40, struct.pack("<IiQ", 16, -1, 1), [listener.fileno()]), keep(count)
events += ([(ADOPT, 0), (COMMITTED, 0)] if role == 2 else []) + [(START, update)]  # 2: restarted
while True:
    for step, update in events:
        if step == ADOPT and not listener:  # RETRIEVE_SESSION, RETRIEVE_FD, RETRIEVE_SUBTREE
            session = talk(device, 0x01, name(-1))[1][0]
            listener = talk(session, 0x41, struct.pack("<IiQ", 16, -1, 1))[1][0]
            count = int(talk(device, 0x84, name(0))[0][72:])
        if step == COMMITTED: talk(device, 0x8b, struct.pack("<II", 8, 0))  # ADOPT_ALL
        if step == RETIRE: sys.exit()
        if step in (FREEZE, CANCEL, COMMITTED): serving = step != FREEZE
        if step in (START, PREPARE, FREEZE) or (step == ADOPT and update):  # READY
            talk(device, 0x86, struct.pack("<IIQ128s", 144, step, update, b""))
    events.clear()
    readable = select.select([device] + [listener] * serving, [], [])[0]
    if device in readable: talk(device)
    elif readable:
        keep(count := count + 1)  # before the answer: what was said is never forgotten
        with listener.accept()[0] as client: client.sendall(b"hello %d from pid %d\n" % (count, os.getpid()))
