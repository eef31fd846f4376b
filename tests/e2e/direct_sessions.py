"""Direct sessions need the kernel's live update: without it, asking for one is a clear refusal, and nothing
is made. Of a plain session nobody gets a kernel's one."""

import errno
import struct

import protocol as p
from harness import contains, equal, main

SIZE_ONLY = struct.pack("<II", 8, 0)


def test(world):
    world.start_outlived('[machine]\nkind = "process"\n')
    client = p.Wire.connect(world.runtime)
    refused = client.ask(p.CREATE_SESSION, p.session_body("vm"), flags=p.FLAG_DIRECT)
    equal(-refused.result, errno.EOPNOTSUPP, "a direct session without the kernel's live update")
    contains(refused.text, "outlived has no /dev/liveupdate; machine: process", "why")
    equal(world.json("list", "sessions")["sessions"], [], "nothing was made")
    plain = client.create_session("vm")
    asked = plain.ask(p.KERNEL_SESSION, SIZE_ONLY)
    equal((-asked.result, asked.fds), (errno.EINVAL, []), "of a session that isn't direct")
    contains(asked.text, "'vm' is not direct", "why")
    equal(-client.ask(p.KERNEL_SESSION, SIZE_ONLY).result, errno.EINVAL, "of the device")
    equal([one["direct"] for one in world.json("list", "sessions")["sessions"]], [False], "listed")


main(test)
