"""One case a request of abi/wire.h that needs no update: what is there before it, the request, what
the reference says of it. `setup` and `teardown` are left alone, `act` is killed at.

A case's session is made anew for each kill, so that nothing of the one before helps it."""

import os
import struct

import protocol as p
from harness import wait_for
from reference import Wrong, note_body
from varlink_pipe import VarlinkPipe

SESSION, NOTE = "case", "case.note"


def expect(reply, code=0):
    if -reply.result != code:
        wrong = Wrong("diverged", f"answered {-reply.result} ({reply.text}), not {code}")
        wrong.reply = reply
        raise wrong
    return reply


class Case:
    """Of a client without a service. `code`: what the request is answered."""

    files = 2      # preserved before, under tokens 1...
    linger = False
    note = None
    code = 0

    def __init__(self, reference):
        self.reference = reference

    def name(self):
        return type(self).__name__

    def setup(self):
        r = self.reference
        self.client = p.Wire.connect(r.world.runtime, timeout=60)
        self.client.call(p.STATUS, struct.pack("<II", 8, 0))  # it is accepted
        self.session = None
        if self.files is not None:
            self.session = self.client.create_session(SESSION, linger=self.linger)
            r.sessions[SESSION] = []
            for token in range(1, self.files + 1):
                self.preserve(token)
        if self.note is not None:
            self.client.add_note(NOTE, self.note)
            r.notes[NOTE] = self.note
        self.fresh = [r.file() for _ in range(3)]

    def preserve(self, token):
        fd, name = self.reference.file()
        self.session.preserve(token, fd)
        os.close(fd)
        self.reference.sessions[SESSION].append((token, name))

    def act(self):
        """The request, and its effect on the reference."""
        reply = self.ask()
        try:
            expect(reply, self.wanted())
            if not reply.result:
                self.effect(reply)
        finally:
            reply.close()

    def wanted(self):
        return self.code

    def ask(self):
        raise NotImplementedError

    def effect(self, reply):
        pass

    def teardown(self):
        r = self.reference
        for fd, _ in self.fresh:
            os.close(fd)
        r.incoming.discard(SESSION)
        if SESSION in r.sessions:
            self.client.call(p.END_SESSION, p.session_body(SESSION))
            del r.sessions[SESSION]
        if NOTE in r.notes:
            self.client.remove_note(NOTE)
            del r.notes[NOTE]
        for one in (self.session, self.client):
            if one is not None:
                one.close()


class CreateSession(Case):
    files = None

    def ask(self):
        return self.client.ask(p.CREATE_SESSION, p.session_body(SESSION))

    def effect(self, reply):
        self.reference.sessions[SESSION] = []
        if len(reply.fds) != 1:
            raise Wrong("lost", f"{len(reply.fds)} descriptors came with the reply")
        with p.Wire(os_socket(os.dup(reply.fds[0])), timeout=60) as session:
            if session.files():
                raise Wrong("diverged", "a new session has files")
        self.session = p.Wire(os_socket(os.dup(reply.fds[0])), timeout=60)


class CreateLingering(CreateSession):
    def ask(self):
        return self.client.ask(p.CREATE_SESSION, p.session_body(SESSION), flags=p.FLAG_LINGER)


class CreateTwice(Case):
    code = 17

    def ask(self):
        return self.client.ask(p.CREATE_SESSION, p.session_body(SESSION))


class RetrieveLingering(Case):
    """RETRIEVE_SESSION of what a client has left behind."""

    linger = True

    def setup(self):
        super().setup()
        self.session.close()
        self.session = None
        wait_for("its holder to be gone", self.reference.orphans)
        self.reference.incoming.add(SESSION)

    def ask(self):
        return self.client.ask(p.RETRIEVE_SESSION, p.session_body(SESSION))

    def effect(self, reply):
        self.session = p.Wire(os_socket(os.dup(reply.fds[0])), timeout=60)
        if self.session.files() != [1, 2]:
            raise Wrong("lost", "the retrieved session has other files")


class PreserveFd(Case):
    def ask(self):
        return self.session.ask(p.PRESERVE_FD, p.fd_body(9), [self.fresh[0][0]])

    def effect(self, reply):
        self.reference.sessions[SESSION].append((9, self.fresh[0][1]))


class PreserveUsedToken(Case):
    code = 17

    def ask(self):
        return self.session.ask(p.PRESERVE_FD, p.fd_body(1), [self.fresh[0][0]])


class PreserveMany(Case):
    def ask(self):
        return self.session.ask(p.PRESERVE_MANY, p.many_body([7, 8, 9]),
                                [fd for fd, _ in self.fresh])

    def effect(self, reply):
        self.reference.sessions[SESSION] += [
            (7 + index, name) for index, (_, name) in enumerate(self.fresh)]


class UnpreserveFd(Case):
    def ask(self):
        return self.session.ask(p.UNPRESERVE_FD, p.fd_body(1))

    def effect(self, reply):
        self.reference.sessions[SESSION].pop(0)


class UnpreserveMany(Case):
    files = 4

    def ask(self):
        return self.session.ask(p.UNPRESERVE_MANY, p.many_body([3, 1]))

    def effect(self, reply):
        kept = self.reference.sessions[SESSION]
        self.reference.sessions[SESSION] = [kept[1], kept[3]]


class EndSession(Case):
    def ask(self):
        return self.client.ask(p.END_SESSION, p.session_body(SESSION))

    def effect(self, reply):
        del self.reference.sessions[SESSION]


class CloseSession(Case):
    """No request: the last descriptor of a session is closed, and it ends."""

    def act(self):
        self.session.close()
        self.session = None
        wait_for("the session to end", lambda: SESSION not in self.reference.real_sessions())
        del self.reference.sessions[SESSION]


class RetrieveOutgoing(Case):
    code = 22

    def ask(self):
        return self.session.ask(p.RETRIEVE_FD, p.fd_body(1))


class FinishOutgoing(Case):
    code = 22

    def ask(self):
        return self.session.ask(p.FINISH, struct.pack("<II", 8, 0))


class GetName(Case):
    def ask(self):
        return self.session.ask(p.GET_NAME, struct.pack("<II64s", 72, 0, b""))

    def effect(self, reply):
        if reply.body[8:].rstrip(b"\0") != SESSION.encode():
            raise Wrong("diverged", f"another name: {reply.body[8:]}")


class ListFiles(Case):
    def ask(self):
        return self.session.ask(p.LIST_FILES, struct.pack("<IIQ", 16, 0, 0))

    def effect(self, reply):
        if struct.unpack_from("<I", reply.body, 4) != (2,):
            raise Wrong("diverged", "another number of files")


class List(Case):
    def ask(self):
        return self.client.ask(p.LIST, struct.pack("<IIQ", 16, 0, 0))


class Status(Case):
    def ask(self):
        return self.client.ask(p.STATUS, struct.pack("<II", 8, 0))


class AddSubtree(Case):
    files = None

    def ask(self):
        return self.client.ask(p.ADD_SUBTREE, note_body(NOTE, b"n" * 5000))

    def effect(self, reply):
        self.reference.notes[NOTE] = b"n" * 5000


class RemoveSubtree(Case):
    files = None
    note = b"gone soon"

    def ask(self):
        return self.client.ask(p.REMOVE_SUBTREE, note_body(NOTE))

    def effect(self, reply):
        del self.reference.notes[NOTE]


class RetrieveSubtree(Case):
    files = None
    note = b"here"

    def ask(self):
        return self.client.ask(p.RETRIEVE_SUBTREE, note_body(NOTE))

    def effect(self, reply):
        if reply.body[72:] != self.note:
            raise Wrong("diverged", "another note")


class ParticipateAsNobody(Case):
    files = None

    def ask(self):
        return self.client.ask(p.PARTICIPATE, struct.pack("<IIIIQ", 24, 0, 0, 0, 0))


class FdDataQuery(Case):
    def wanted(self):
        return 0 if os.geteuid() == 0 else 1

    def ask(self):
        return self.client.ask(p.FD_DATA_QUERY, struct.pack("<II48s", 56, 100, b"memfd"))


class Connect(Case):
    """No request: a new connection, accepted and used."""

    files = None

    def act(self):
        with p.Wire.connect(self.reference.world.runtime, timeout=60) as more:
            expect(more.ask(p.STATUS, struct.pack("<II", 8, 0)))


class ControlCalls(Case):
    """Two calls on one connection of the control socket: each has its own reply, and one."""

    files = None

    def act(self):
        pipe = VarlinkPipe(self.reference.world.runtime)
        try:
            for method, field in 2 * (("Status", "pid_keeper"), ("ListRegions", "regions"),
                                      ("Fsck", "clean")):
                reply = pipe.must(method)
                if field not in reply:
                    raise Wrong("diverged", f"{method} is answered {reply}")
        finally:
            pipe.close()


class UnknownRequest(Case):
    code = 22

    def ask(self):
        return self.session.ask(0x7F, b"")


def os_socket(fd):
    import socket
    return socket.socket(fileno=fd)


ALL = [CreateSession, CreateLingering, CreateTwice, RetrieveLingering, PreserveFd,
       PreserveUsedToken, PreserveMany, UnpreserveFd, UnpreserveMany, EndSession, CloseSession,
       RetrieveOutgoing, FinishOutgoing, GetName, ListFiles, List, Status, AddSubtree,
       RemoveSubtree, RetrieveSubtree, ParticipateAsNobody, FdDataQuery, Connect, ControlCalls,
       UnknownRequest]
