"""Every row of the errno table of the kernel's interface, through the socket protocol.

The rows are listed by name; a row without a check, or a check without a row, fails. Two rows differ
natively, as the design says: many may open the device, and the close of an incoming session's last
fd is a lease, not a finish. Incoming sessions need a service whose process was replaced, so a part
of this runs as such a service (role "service" below): outlived starts it, it creates, it is killed,
and the next one asks for everything that only an incoming session answers.
"""

import errno
import os
import signal
import socket
import struct
import sys

import protocol as p
from harness import Failed, check, equal, main, wait_for
from protocol import Wire, fd_body, session_body

ROWS = """
second open
order: number
order: size EFAULT
order: size EINVAL
order: size E2BIG
order: direction
create: name empty
create: name without NUL
create: name not UTF-8
create: name in use by an outgoing session
create: same name as an incoming one
retrieve session: no such
retrieve session: already retrieved
retrieve session: another uid's
preserve: token used
preserve: token used, checked before the fd
preserve: bad fd
preserve: too many fds
preserve: no handler
preserve: a session or device connection
preserve: same memfd in this session
preserve: same memfd in another session
preserve: on an incoming session
retrieve: on an outgoing session
retrieve: unknown token
retrieve: again
retrieve: again after a failed retrieve
finish: on an outgoing session
finish: can_finish says no
finish: reserved not 0
finish: done
close: outgoing
close: incoming is a lease
order: recorded
new fds are CLOEXEC
sequence: skipped closes
sequence: replayed
sequence: asked for
magic and version
counts: tokens and fds
stale after replacement
get name
""".strip().splitlines()

checks = {}


def row(*names):
    def mark(function):
        for name in names:
            checks[name] = function
        return function
    return mark


def refused(reply, code, what):
    equal(errno.errorcode.get(-reply.result, reply.result), errno.errorcode[code], what)
    check(reply.result == 0 or reply.text, f"{what}: no text")
    equal(reply.fds, [], f"{what}: fds of a refusal")


def memfd(size=4096):
    fd = os.memfd_create("test")
    os.ftruncate(fd, size)
    return fd


class Bench:
    """What each check gets: outlived, a device connection of its own, a fresh name."""

    count = 0

    def __init__(self, world):
        self.world = world
        self.device = Wire.connect(world.runtime)
        Bench.count += 1
        self.name = f"s{Bench.count}"
        self.session = self.device.create_session(self.name)


# ---- the device and the order of checks ----------------------------------------------------------


@row("second open")
def many_openers(b):
    with Wire.connect(b.world.runtime) as second:
        second.call(p.STATUS, struct.pack("<II", 8, 0))


@row("order: number")
def unknown_numbers(b):
    # None of the object's numbers, whatever else is wrong with the message.
    for number in (0x02, 0x3F, 0x40, 0x44, 0x7F, 0x90, 0xFF, 0xF0):
        refused(b.device.ask(number), errno.EINVAL, f"device, number {number:#x}")
    for number in (0x00, 0x01, 0x3F, 0x44, 0x80, 0x96, 0xFF):
        refused(b.session.ask(number), errno.EINVAL, f"session, number {number:#x}")


@row("order: size EFAULT")
def size_beyond_the_body(b):
    # The size says more than there is to read: the kernel's copy_from_user would fault.
    refused(b.device.ask(p.CREATE_SESSION, session_body("x", size=100)), errno.EFAULT, "create")
    refused(b.session.ask(p.PRESERVE_FD, fd_body(1, size=17)), errno.EFAULT, "preserve")


@row("order: size EINVAL")
def size_too_small(b):
    for size in (0, 3, 71):
        refused(b.device.ask(p.CREATE_SESSION, session_body("x", size)), errno.EINVAL, "create")
    refused(b.device.ask(p.CREATE_SESSION, b""), errno.EINVAL, "create without a body")
    refused(b.session.ask(p.PRESERVE_FD, fd_body(1, size=15)), errno.EINVAL, "preserve")
    refused(b.session.ask(p.FINISH, struct.pack("<II", 4, 0)), errno.EINVAL, "finish")


@row("order: size E2BIG")
def size_with_unknown_bytes(b):
    more = struct.pack("<IiQQ", 24, -1, 5, 1)
    refused(b.session.ask(p.PRESERVE_FD, more, [memfd()]), errno.E2BIG, "unknown byte not zero")
    equal(b.session.files(), [], "nothing was preserved")
    b.session.call(p.PRESERVE_FD, struct.pack("<IiQQ", 24, -1, 5, 0), [memfd()])  # zero: as known
    equal(b.session.files(), [5], "a newer client's structure")


@row("order: direction")
def direction_before_the_rest(b):
    large = struct.pack("<IiQQ", 24, -1, 5, 1)  # E2BIG, were it an incoming one
    refused(b.session.ask(p.RETRIEVE_FD, large), errno.EINVAL, "retrieve on an outgoing one")
    refused(b.session.ask(p.RETRIEVE_FD, fd_body(1, size=17)), errno.EFAULT, "EFAULT comes first")


# ---- names ---------------------------------------------------------------------------------------


@row("create: name empty")
def name_empty(b):
    refused(b.device.ask(p.CREATE_SESSION, session_body("")), errno.EINVAL, "create")


@row("create: name without NUL")
def name_too_long(b):
    refused(b.device.ask(p.CREATE_SESSION, session_body("n" * 64)), errno.EINVAL, "create 64")
    b.device.create_session("n" * 63).close()


@row("create: name not UTF-8")
def name_not_utf8(b):
    for raw in (b"\xff", b"a\xc0\x80", b"\xed\xa0\x80", b"a\xe2\x82", b"line\n", b"\x7f"):
        refused(b.device.ask(p.CREATE_SESSION, session_body(raw)), errno.EINVAL, f"create {raw}")
    b.device.create_session("grün €").close()


@row("create: name in use by an outgoing session")
def name_in_use(b):
    refused(b.device.ask(p.CREATE_SESSION, session_body(b.name)), errno.EEXIST, "create")


@row("retrieve session: no such")
def no_such_session(b):
    refused(b.device.ask(p.RETRIEVE_SESSION, session_body("nobody")), errno.ENOENT, "no such")
    # An outgoing session is none to retrieve.
    refused(b.device.ask(p.RETRIEVE_SESSION, session_body(b.name)), errno.ENOENT, "outgoing")


@row("retrieve session: another uid's")
def session_of_another_uid(b):
    """As root: a child of another uid sees neither the session nor its name being taken."""
    if os.geteuid() != 0:
        return  # the same is tried by whoever runs this as root
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            with Wire.connect(b.world.runtime) as device:
                refused(device.ask(p.RETRIEVE_SESSION, session_body(b.name)), errno.ENOENT, "see")
                refused(device.ask(p.END_SESSION, session_body(b.name)), errno.ENOENT, "end")
                count = struct.unpack_from("<II", device.call(
                    p.LIST, struct.pack("<IIQ", 16, 0, 0)).body)[1]
                equal(count, 0, "sessions that another uid sees")
                device.create_session(b.name).close()  # names are unique per uid
            code = 0
        except BaseException as error:
            print(f"as uid 65534: {error!r}", file=sys.stderr)
        os._exit(code)
    equal(os.waitpid(child, 0)[1], 0, "the child of uid 65534")
    equal(b.session.files(), [], "the owner's session goes on")


# ---- preserve ------------------------------------------------------------------------------------


@row("preserve: token used")
def token_used(b):
    b.session.preserve(7, memfd())
    refused(b.session.ask(p.PRESERVE_FD, fd_body(7), [memfd()]), errno.EEXIST, "token 7 again")
    equal(b.session.files(), [7], "files")


@row("preserve: token used, checked before the fd")
def token_before_fd(b):
    b.session.preserve(7, memfd())
    refused(b.session.ask(p.PRESERVE_FD, fd_body(7)), errno.EEXIST, "token used and no fd")


@row("preserve: bad fd")
def bad_fd(b):
    refused(b.session.ask(p.PRESERVE_FD, fd_body(1)), errno.EBADF, "no fd came")


@row("preserve: too many fds")
def too_many_fds(b):
    refused(b.session.ask(p.PRESERVE_FD, fd_body(1), [memfd(), memfd()]), errno.EINVAL, "two fds")


@row("preserve: no handler")
def no_handler(b):
    """Natively the last handler takes every open file: in an outlived of its own it says no."""
    faults = {"OUTLIVE_FAULTS": "luo.can_preserve.outlive-opaque-v1:0=ENOENT"}
    other = b.world.second("no-handler", env=faults)
    with Wire.connect(other.runtime) as device:
        session = device.create_session("x")
        pipe = os.pipe()
        refused(session.ask(p.PRESERVE_FD, fd_body(1), [pipe[0]]), errno.ENOENT, "a pipe")
        equal(session.files(), [], "nothing was preserved")
        session.preserve(1, memfd())  # it has a handler, and the token is free
        many = session.ask(p.PRESERVE_MANY, p.many_body([2, 3]), [memfd(), pipe[0]])
        refused(many, errno.ENOENT, "the second of two")
        equal(session.files(), [1], "all or none")
        session.close()
    other.stop_outlived()
    # Here it has one.
    b.session.preserve(1, pipe[0])
    equal(b.session.files(), [1], "kept as opaque")
    for fd in pipe:
        os.close(fd)


@row("preserve: a session or device connection")
def own_sockets(b):
    other = b.device.create_session(b.name + ".other")
    for what, sock in (("itself", b.session.sock), ("another session", other.sock),
                       ("the device", b.device.sock)):
        reply = b.session.ask(p.PRESERVE_FD, fd_body(1), [sock.fileno()])
        refused(reply, errno.ENOENT, what)
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(b.world.runtime + "/control.sock")
        reply = b.session.ask(p.PRESERVE_FD, fd_body(1), [control.fileno()])
        refused(reply, errno.ENOENT, "the control socket")


@row("preserve: same memfd in this session")
def same_memfd_here(b):
    fd = memfd()
    b.session.preserve(1, fd)
    refused(b.session.ask(p.PRESERVE_FD, fd_body(2), [fd]), errno.EBUSY, "again")
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)  # another open file, the same inode
    refused(b.session.ask(p.PRESERVE_FD, fd_body(2), [again]), errno.EBUSY, "by inode")
    b.session.unpreserve(1)
    b.session.preserve(2, fd)  # free again


@row("preserve: same memfd in another session")
def same_memfd_elsewhere(b):
    fd = memfd()
    b.session.preserve(1, fd)
    with Wire.connect(b.world.runtime) as device:
        other = device.create_session(b.name + ".other")
        refused(other.ask(p.PRESERVE_FD, fd_body(1), [fd]), errno.EBUSY, "in another session")
    pair = socket.socketpair()
    b.session.preserve(3, pair[0].fileno())
    reply = b.session.ask(p.PRESERVE_FD, fd_body(4), [pair[0].fileno()])
    refused(reply, errno.EBUSY, "a socket twice")


@row("finish: on an outgoing session", "retrieve: on an outgoing session")
def outgoing(b):
    b.session.preserve(1, memfd())
    refused(b.session.ask(p.RETRIEVE_FD, fd_body(1)), errno.EINVAL, "retrieve")
    refused(b.session.ask(p.FINISH, struct.pack("<II", 8, 0)), errno.EINVAL, "finish")
    equal(b.session.files(), [1], "files")


@row("close: outgoing")
def close_outgoing(b):
    reader, writer = os.pipe()
    b.session.preserve(1, writer)
    os.close(writer)
    copy = Wire(b.session.sock.dup())
    copy.sequence = b.session.sequence
    b.session.close()  # not the last one
    equal(copy.files(), [1], "a copy of the session fd is left")
    copy.close()
    # Unpreserved and closed: the reader of the pipe sees the end.
    equal(os.read(reader, 1), b"", "the pipe's end")

    def free():
        reply = b.device.ask(p.CREATE_SESSION, session_body(b.name))
        reply.close()
        return reply.result == 0

    wait_for("the name to be free", free)


@row("order: recorded")
def recorded_order(b):
    for token in (9, 2, 5):
        b.session.preserve(token, memfd())
    equal(b.session.files(), [9, 2, 5], "as preserved")
    b.session.unpreserve(2)
    b.session.preserve(2, memfd())
    equal(b.session.files(), [9, 5, 2], "unpreserved and preserved again: last")


@row("get name")
def get_name(b):
    body = b.session.call(p.GET_NAME, struct.pack("<II64s", 72, 0, b"")).body
    equal(body[8:].split(b"\0")[0].decode(), b.name, "name")


@row("new fds are CLOEXEC")
def fds_are_cloexec(b):
    # recv_fds of Python sets it always; the flag that counts is the one that asks for it, so look
    # at what arrives with a plain recvmsg.
    b.device.send(p.CREATE_SESSION, session_body(b.name + ".c"))
    _, control, _, _ = b.device.sock.recvmsg(65536, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    fd = struct.unpack("<i", control[0][2][:4])[0]
    check(not os.get_inheritable(fd), "a session fd is inheritable")
    os.close(fd)


# ---- sequences, counts, magic --------------------------------------------------------------------


def is_closed(wire):
    try:
        wire.ask(p.STATUS, struct.pack("<II", 8, 0))
    except p.Closed:
        return True
    return False


@row("sequence: skipped closes")
def sequence_skipped(b):
    for wrong in (0, 3, 2**63):
        with Wire.connect(b.world.runtime) as device:
            device.call(p.STATUS, struct.pack("<II", 8, 0))
            try:
                device.send(p.STATUS, struct.pack("<II", 8, 0), sequence=wrong)
                reply = device.read()
                check(reply[1].result == -errno.EPROTO, f"sequence {wrong} was answered")
            except p.Closed:
                pass
            check(is_closed(device), f"sequence {wrong}: the connection is open")


@row("sequence: replayed")
def sequence_replayed(b):
    body, fd = fd_body(11), memfd()
    first = b.session.send(p.PRESERVE_FD, body, [fd])
    equal(b.session.receive(first).result, 0, "preserve")
    equal(b.session.ask(p.PRESERVE_FD, body, [fd], sequence=first).result, 0, "its replay")
    equal(b.session.files(), [11], "done once")
    failed = b.session.send(p.PRESERVE_FD, body, [fd])
    refused(b.session.receive(failed), errno.EEXIST, "a new request")
    refused(b.session.ask(p.PRESERVE_FD, body, [fd], sequence=failed), errno.EEXIST, "its replay")
    # A replayed create hands out no second session.
    made = b.device.send(p.CREATE_SESSION, session_body(b.name + ".r"))
    reply = b.device.receive(made)
    again = b.device.ask(p.CREATE_SESSION, session_body(b.name + ".r"), sequence=made)
    equal(again.result, 0, "create, replayed")
    again.close()
    reply.close()


@row("sequence: asked for")
def sequence_asked_for(b):
    b.session.preserve(1, memfd())
    b.session.preserve(2, memfd())
    passed_on = Wire(b.session.sock.dup())
    passed_on.sequence = passed_on.last_sequence()
    equal(passed_on.sequence, b.session.sequence, "the last sequence")
    equal(passed_on.files(), [1, 2], "who got the fd goes on with it")
    passed_on.close()


@row("magic and version")
def magic_and_version(b):
    for magic, version in ((p.MAGIC + 1, 1), (p.MAGIC, 2), (0, 0)):
        with Wire.connect(b.world.runtime) as device:
            device.sock.send(p.HEADER.pack(magic, version, p.STATUS, 0, 0, 1))
            check(is_closed(device), f"magic {magic:#x} version {version}: it is open")
    with Wire.connect(b.world.runtime) as device:
        device.sock.send(b"short")
        check(is_closed(device), "a packet without a header: it is open")


@row("counts: tokens and fds")
def counts(b):
    def many(tokens, fds, request=p.PRESERVE_MANY, body=None):
        return b.session.ask(request, body or p.many_body(tokens), fds)

    refused(many([1, 2], [memfd()]), errno.EBADF, "an fd is missing")
    refused(many([1], [memfd(), memfd()]), errno.EINVAL, "an fd too much")
    refused(many([], []), errno.EINVAL, "none at all")
    refused(many([], [], body=struct.pack("<IIQ", 8, 2, 1)), errno.EINVAL, "a token is missing")
    refused(many([], [], body=struct.pack("<IIQQ", 8, 254, 1, 2)), errno.EINVAL, "254")
    refused(many([3, 3], [memfd(), memfd()]), errno.EEXIST, "a token twice in one request")
    same = memfd()
    refused(many([1, 2], [same, same]), errno.EBUSY, "a memfd twice in one request")
    equal(b.session.files(), [], "all or none")
    fds = [memfd() for _ in range(253)]
    equal(many(list(range(253, 0, -1)), fds).result, 0, "253")
    equal(b.session.files(), list(range(253, 0, -1)), "their order")
    refused(many([1, 999], [], p.UNPRESERVE_MANY), errno.ENOENT, "one is unknown")
    equal(len(b.session.files()), 253, "all or none")
    equal(many(list(range(1, 254)), [], p.UNPRESERVE_MANY).result, 0, "unpreserve 253")
    for fd in fds:
        os.close(fd)
    # A body beyond the largest is refused, and the connection goes on.
    refused(b.session.ask(p.PRESERVE_MANY, bytes(32769)), errno.E2BIG, "a body that is too large")
    equal(b.session.files(), [], "it goes on")


# ---- what only an incoming session answers: this program again, as a service ---------------------

INCOMING = {
    "create: same name as an incoming one", "retrieve session: already retrieved",
    "preserve: on an incoming session", "retrieve: unknown token", "retrieve: again",
    "retrieve: again after a failed retrieve", "finish: can_finish says no",
    "finish: reserved not 0", "finish: done", "close: incoming is a lease",
    "stale after replacement",
}


def service():
    """The first life preserves and waits; the next one checks, and writes what failed to a note."""
    device = Wire.connect(os.environ["OUTLIVE_RUNTIME_DIR"])
    role, update = device.participate()
    if role == p.FRESH:
        session = device.create_session("inherited")
        for token in (1, 2, 3):
            session.preserve(token, memfd())
        device.ready(p.START, 0)
        signal.pause()
    if role == p.SUCCESSOR:
        early = device.ask(p.RETRIEVE_SESSION, session_body("replaced"))
        refused(early, errno.EAGAIN, "before adopt")
        device.ready(p.START, update)
        adopt_and_wait(device)
    done = []
    try:
        incoming(device, done)
        device.add_note("passed", "\n".join(done).encode())
    except BaseException as error:
        device.add_note("failed", repr(error).encode())
    session = device.create_session("replaced")
    session.preserve(1, memfd())
    device.ready(p.START, 0)
    serve_until_replaced(device, session)


def incoming(device, done):
    def passed(name):
        check(name in INCOMING, f"'{name}' is no row")
        done.append(name)

    lease = device.retrieve_session("inherited")
    refused(device.ask(p.RETRIEVE_SESSION, session_body("inherited")), errno.EINVAL, "again")
    passed("retrieve session: already retrieved")
    lease.close()  # natively no finish: it can be claimed again, with all that is in it
    session = wait_for("the lease to end", lambda: claim(device))
    equal(session.files(), [1, 2, 3], "files after the lease")
    passed("close: incoming is a lease")
    outgoing_one = device.create_session("inherited")
    passed("create: same name as an incoming one")
    refused(session.ask(p.PRESERVE_FD, fd_body(9), [memfd()]), errno.EINVAL, "preserve")
    passed("preserve: on an incoming session")
    refused(session.ask(p.RETRIEVE_FD, fd_body(99)), errno.ENOENT, "unknown token")
    passed("retrieve: unknown token")
    first = session.ask(p.RETRIEVE_FD, fd_body(1))  # the fault below hits the first retrieve
    refused(first, errno.EIO, "a failed retrieve")
    refused(session.ask(p.RETRIEVE_FD, fd_body(1)), errno.EIO, "the same error again")
    passed("retrieve: again after a failed retrieve")
    one, two = session.retrieve(2), session.retrieve(2)
    check(one != two, "the same fd number twice")
    os.lseek(one, 77, os.SEEK_SET)
    equal(os.lseek(two, 0, os.SEEK_CUR), 77, "one open file behind both")
    passed("retrieve: again")
    refused(session.ask(p.FINISH, struct.pack("<II", 8, 1)), errno.EINVAL, "reserved is 1")
    passed("finish: reserved not 0")
    # The fault below: the second of its three files says no, once.
    refused(session.ask(p.FINISH, struct.pack("<II", 8, 0)), errno.EBUSY, "can_finish says no")
    equal(session.files(), [1, 2, 3], "nothing finished")
    os.close(session.retrieve(3))
    refused(device.ask(p.RETRIEVE_SESSION, session_body("inherited")), errno.EINVAL, "still claimed")
    passed("finish: can_finish says no")
    equal(session.ask(p.FINISH, struct.pack("<II", 8, 0)).result, 0, "finish")
    # Its name is an outgoing one's again: the finished one ends, nothing of it is left.
    refused(session.ask(p.LIST_FILES, struct.pack("<IIQ", 16, 0, 0)), errno.ESTALE, "after finish")
    os.fstat(one)  # what was retrieved stays the holder's
    passed("finish: done")
    outgoing_one.close()
    session.close()


def claim(device):
    reply = device.ask(p.RETRIEVE_SESSION, session_body("inherited"))
    return None if reply.result else Wire(socket.socket(fileno=reply.fds[0]))


def serve_until_replaced(device, session):
    """The old one of an update; once the next one has committed, its session fd is stale."""
    while True:
        step, update, _ = device.wait_event()
        if step in (p.PREPARE, p.FREEZE):
            device.ready(step, update)
        if step == p.FREEZE:
            after_freeze = session.ask(p.PRESERVE_FD, fd_body(2), [memfd()])
            device.add_note("frozen", errno.errorcode[-after_freeze.result].encode())
        if step == p.RETIRE:
            codes = [session.ask(p.PRESERVE_FD, fd_body(2), [memfd()]).result,
                     session.ask(p.LIST_FILES, struct.pack("<IIQ", 16, 0, 0)).result,
                     device.ask(p.CREATE_SESSION, session_body("late")).result,
                     device.ask(p.RETRIEVE_SESSION, session_body("replaced")).result]
            device.add_note("stale", repr(codes).encode())
            sys.exit(0)


def adopt_and_wait(device):
    while True:
        step, update, _ = device.wait_event()
        if step == p.ADOPT_STEP:
            # It is frozen, and stays so until the old one has tried what isn't allowed any more.
            wait_for("the old one's try", lambda: device.ask(p.RETRIEVE_SUBTREE, struct.pack(
                "<II64s", 72, 0, b"frozen")).result == 0)
            device.retrieve_session("replaced").retrieve(1)
            device.ready(step, update)
        if step == p.COMMITTED:
            device.adopt_all()
            signal.pause()


def incoming_rows(world):
    """Runs the service, kills it, reads what its next life found."""
    world.must("run", "rows", "--notify", "--", sys.executable, os.path.abspath(__file__),
               "service")
    world.kill(world.service("rows")["pid"])
    watcher = Wire.connect(world.runtime)

    def note(name):
        reply = watcher.ask(p.RETRIEVE_SUBTREE, struct.pack("<II64s", 72, 0, name.encode()))
        return None if reply.result else reply.body[72:].decode()

    wait_for("the next life", lambda: note("passed") or note("failed"))
    if note("failed"):
        raise Failed(f"as the restarted service: {note('failed')}")
    passed = set(note("passed").splitlines())
    wait_for("it to serve", lambda: world.service("rows")["state"] == "running")
    done = world.outlive("update", "rows")
    equal(done.code, 0, f"the update: {done.err}{done.out}")
    equal(note("frozen"), "EBUSY", "preserve after freeze was answered")
    codes = wait_for("the old one's word", lambda: note("stale"))
    equal(codes, repr([-errno.ESTALE] * 4), "requests of one that was replaced")
    return passed | {"stale after replacement"}


def test(world):
    # One retrieve fails, the first of all; one file, the second that is asked, says no to a finish.
    world.start_outlived(env={"OUTLIVE_FAULTS": "luo.retrieve:1=EIO,"
                                                "luo.can_finish.outlive-memfd-v1:2=EBUSY"})
    passed = incoming_rows(world)
    failures = []
    for function in dict.fromkeys(checks.values()):
        bench = Bench(world)
        try:
            function(bench)
            passed |= {name for name, one in checks.items() if one is function}
        except Exception as error:
            failures.append(f"{function.__name__}: {type(error).__name__}: {error}")
        finally:
            bench.session.close()
            bench.device.close()
    for failure in failures:
        print(failure)
    check(not failures, f"{len(failures)} rows fail: {failures}")
    equal(sorted(set(ROWS) - passed), [], "rows without a check")
    equal(sorted(passed - set(ROWS)), [], "checks without a row")
    # What this process itself still holds an fd of is there by right.
    wait_for("all sessions to end that nobody holds",
             lambda: not [s for s in world.json("list", "sessions")["sessions"]
                          if s["service"] is None and not s["claimed"]])
    world.expect_clean()


if __name__ == "__main__":
    if sys.argv[1:] == ["service"]:
        service()
    else:
        main(test)
