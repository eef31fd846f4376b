"""An update, walked request by request, both versions played from here (stage.py). A case is one of
its requests: the update goes as far as that, it is killed at, and the update has to come to its end.

Everything is driven by what comes: events may come twice, and what a worker only remembered (that a
successor looks ahead) may be forgotten by the next one."""

import os
import select
import struct

import protocol as p
from cases import expect
from harness import wait_for
from reference import Wrong
from varlink_pipe import TRIES, request_id

# What ends the inheritance: one request for all, or one a session.
ENDINGS = ("adopt_all", "adopt", "finish", "finish_all")


class Walk:
    """`target`: the request that is killed at; `veto`: the old one says no to that step."""

    def __init__(self, stage, target, ending="adopt_all", veto=None):
        self.stage, self.reference = stage, stage.reference
        self.target, self.ending, self.veto = target, ending, veto
        self.at_target = self.after_target = lambda: None
        self.disturbed = lambda: False
        self.either = False  # where it is disturbed, it may be rolled back

    def name(self):
        ending = "" if self.ending == "adopt_all" else f" ({self.ending})"
        return f"update{ending}{' vetoed in ' + p.STEPS[self.veto] if self.veto else ''}: {self.target}"

    def setup(self):
        pass

    def teardown(self):
        pass

    def act(self):
        """The whole update; around the target request it calls at_target and after_target."""
        self.step = self.new = self.new_session = None
        self.seen = set()
        self.reached = self.left = False
        if self.veto:
            self.refresh()
        self.walk()
        if self.veto and self.retrieved():
            raise Wrong("diverged", "a cancelled update has left files marked as retrieved")

    def do(self, label, call):
        if self.step == self.target:
            self.end_target()
        self.step = label
        if label == self.target and not self.reached:  # once: it may come again
            self.reached = True
            self.at_target()
        return call()

    def end_target(self):
        if not self.left:
            self.left = True
            self.after_target()

    # ---- the walk -------------------------------------------------------------------------------

    def walk(self):
        stage = self.stage
        self.do("Update", lambda: stage.control.send(
            "Update", request_id=request_id(), name=stage.name, argv=None, env=None, cwd=None,
            ready_timeout_ms=60000, freeze_timeout_ms=60000, policy=None))
        self.update = None
        error, reply = self.until_over()
        self.settle(error, reply)

    def join(self):
        """The successor's part begins: a first one, or another one because a worker has died before
        commit: then the update begins anew, with a successor that knows nothing."""
        instance, self.new_pid = self.stage.next_process()
        self.drop_new()
        self.seen.clear()
        self.new = p.Wire.connect(self.stage.world.runtime, timeout=60)
        role, update = self.do("PARTICIPATE", lambda: self.new.participate(instance))
        if role != p.SUCCESSOR:
            if self.disturbed() or self.stage.is_gone(self.new_pid):
                return self.drop_new()  # it was killed before it was heard, maybe an update before
            raise Wrong("diverged", f"the successor's role is {role}")
        self.update = update
        self.do("PREVIEW_LIST", lambda: self.new.preview_list(self.stage.name + ".s"))
        self.do("READY start", lambda: self.new.ready(p.START, update))

    def drop_new(self):
        for one in (self.new, self.new_session):
            if one is not None:
                one.close()
        self.new = self.new_session = None

    def forgiving(self, call):
        """Where a worker dies before commit, its successor is turned away and another one comes."""
        try:
            return call()
        except (p.Closed, p.Refused):
            if not self.disturbed():
                raise
            if self.either and self.new is not None:  # it can't go on, and leaves
                self.stage.leave_processes(self.new_pid)
            return None

    def until_over(self):
        """Answers events until the update's reply is there."""
        stage, tries = self.stage, TRIES
        while tries:
            while stage.device.events:
                event = stage.device.events.pop(0)
                self.forgiving(lambda: self.event("old", stage.device, *event))
            while self.new is not None and self.new.events:
                event = self.new.events.pop(0)
                self.forgiving(lambda: self.event("new", self.new, *event))
            sockets = {stage.device.sock: stage.device}
            if self.new is not None:
                sockets[self.new.sock] = self.new
            ready = select.select([*sockets, stage.control.sock, stage.told], [], [], 60)[0]
            if not ready:
                raise Wrong("diverged", f"the update stands still after {self.step}")
            if stage.control.sock in ready:
                answer = stage.control.received()  # never a wait: the update needs its events
                if answer is not None:
                    return answer
                tries -= 1
                continue
            if stage.told in ready:
                self.forgiving(self.join)
                continue
            for sock in ready:
                try:
                    sockets[sock].read()
                except p.Closed:
                    if sockets[sock] is not self.new or not (self.veto or self.disturbed()):
                        raise
                    self.drop_new()
        raise Wrong("diverged", "the update's call was turned away, again and again")

    def event(self, who, wire, step, update, _):
        if update != self.update or (who, step) in self.seen:
            return
        self.seen.add((who, step))
        if who == "old" and step == p.CANCEL:
            self.seen.clear()
        elif who == "old" and step == self.veto:
            self.do("VETO", lambda: wire.veto(step, update, "no"))
        elif step in (p.PREPARE, p.FREEZE):
            self.do("READY " + p.STEPS[step], lambda: wire.ready(step, update))
        elif step == p.PREVIEW_STEP:
            self.look(wire)
            self.do("READY preview", lambda: wire.ready(step, update))
        elif step == p.ADOPT_STEP:
            self.adopt(wire)
            self.do("READY adopt", lambda: wire.ready(step, update))
        elif step == p.COMMITTED:
            self.end(wire)

    def tokens(self):
        return [token for token, _ in self.reference.sessions[self.stage.name + ".s"]]

    def check_fds(self, fds):
        wanted = [name for _, name in self.reference.sessions[self.stage.name + ".s"]]
        got = [os.readlink(f"/proc/self/fd/{fd}").removeprefix("/memfd:").split(" ")[0]
               for fd in fds]
        for fd in fds:
            os.close(fd)
        if got != wanted:
            raise Wrong("lost", f"{got} came, not {wanted}")

    def look(self, wire):
        tokens = self.tokens()
        found = self.do("PREVIEW_MANY",
                        lambda: wire.preview(self.stage.name + ".s", tokens))
        self.check_fds([found[token] for token in tokens])

    def adopt(self, wire):
        tokens = self.tokens()
        self.new_session = self.do("RETRIEVE_SESSION",
                                   lambda: wire.retrieve_session(self.stage.name + ".s"))
        first = self.do("RETRIEVE_FD", lambda: self.new_session.retrieve(tokens[0]))
        rest = self.do("RETRIEVE_MANY", lambda: self.new_session.call(
            p.RETRIEVE_MANY, p.many_body(tokens[1:]))).fds
        self.check_fds([first, *rest])

    def end(self, wire):
        session = self.stage.name + ".s"
        nothing = struct.pack("<II", 8, 0)
        if self.ending == "adopt_all":
            self.do("ADOPT_ALL", lambda: wire.call(p.ADOPT_ALL, nothing))
        elif self.ending == "adopt":
            self.do("ADOPT", lambda: self.new_session.call(p.ADOPT, nothing))
        elif self.ending == "finish":
            self.do("FINISH", lambda: self.new_session.call(p.FINISH, nothing))
            self.reference.sessions[session] = []
        else:
            self.do("FINISH_ALL", lambda: wire.call(p.FINISH_ALL, nothing))
            del self.reference.sessions[session]

    # ---- its end --------------------------------------------------------------------------------

    def settle(self, error, reply):
        stage = self.stage
        if error and self.either and self.disturbed() and reply["message"]:
            self.drop_new()  # refused, with a reason
            return self.idle()
        if error:
            raise Wrong("diverged", f"the update was refused: {error} {reply}")
        updated = reply["result"] == "updated"
        if updated == bool(self.veto) and not (self.either and self.disturbed()):
            raise Wrong("diverged", f"the update was {reply['result']}: {reply['reason']}")
        if not updated:
            self.drop_new()
            self.idle()
            return
        old, old_session = stage.device, stage.session
        stage.leave_processes(stage.pid)
        stage.device, stage.session, stage.pid = self.new, self.new_session, self.new_pid
        self.idle()
        old.close()
        old_session.close()
        self.refill()

    def idle(self):
        def over():
            services = self.reference.control.must("ListServices", after=None)["services"]
            return [one for one in services if one["name"] == self.stage.name
                    and one["update"] is None]

        wait_for("the update to be over", over)
        if self.step == self.target:
            self.end_target()
        self.step = None

    def retrieved(self):
        files = self.reference.control.must("ListFiles", session=None, after=None)["files"]
        return [one for one in files if one["retrieved"]]

    def refresh(self):
        """Files that no update has passed on yet."""
        held = self.reference.sessions[self.stage.name + ".s"]
        self.stage.session.call(p.UNPRESERVE_MANY, p.many_body([token for token, _ in held]))
        held.clear()
        self.refill()

    def refill(self):
        """As before it: the next walk inherits three files."""
        stage, session = self.stage, self.stage.name + ".s"
        if session not in self.reference.sessions:
            if stage.session is not None:
                stage.session.close()
            stage.fill(session, 0)
        held = self.reference.sessions[session]
        for token in range(1, 4):
            if token in [one for one, _ in held]:
                continue
            fd, name = self.reference.file()
            expect(stage.session.ask(p.PRESERVE_FD, p.fd_body(token), [fd]))
            os.close(fd)
            held.append((token, name))


def all_walks(stage):
    """Every request of an update, each as a target."""
    targets = ["Update", "PARTICIPATE", "PREVIEW_LIST", "READY start", "READY prepare",
               "PREVIEW_MANY", "READY preview", "READY freeze", "RETRIEVE_SESSION", "RETRIEVE_FD",
               "RETRIEVE_MANY", "READY adopt", "ADOPT_ALL"]
    walks = [Walk(stage, target) for target in targets]
    walks += [Walk(stage, name.upper(), ending=name) for name in ENDINGS[1:]]
    walks += [Walk(stage, "VETO", veto=step) for step in (p.PREPARE, p.FREEZE)]
    return walks

