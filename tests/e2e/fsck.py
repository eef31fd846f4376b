"""outlive fsck: a live outlived, an image of it, and the repair of what can be derived."""

import os
import struct

from harness import check, contains, equal, free_port, main, wait_for
from protocol import Wire

PAGE = 4096
TABLE = 3 * PAGE  # page descriptors (src/abi/kho.h)
OWNER_SERVICE, STATE_LIVE = 10, 2


def words(path, at, count=1):
    with open(path, "rb") as file:
        file.seek(at)
        return struct.unpack(f"<{count}Q", file.read(8 * count))


def write(path, at, *values):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(struct.pack(f"<{len(values)}Q", *values))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def free_page(image):
    """The number of the first of two pages in a row that are nobody's."""
    high_water = words(image, 64)[0]
    descriptors = words(image, TABLE, high_water)
    page, free = 0, 0
    while free < 2:
        check(page < high_water, "the arena has no two free pages")
        descriptor = descriptors[page]
        free = 0 if descriptor else free + 1
        page += 1 << (descriptor >> 40 & 0xff) if descriptor else 1
    return page - 2


def fsck(world, image, *more):
    return world.outlive("fsck", "--image", image, *more)


def test(world):
    world.start_outlived()
    world.run_service("web", free_port())
    device = Wire.connect(world.runtime)
    session = device.create_session("kept")
    for token in range(20):
        fd = os.memfd_create("m")
        session.preserve(token, fd)
        os.close(fd)
    device.add_note("note", b"for the next one")

    # Live: all of it is accounted for, also after a worker's death.
    found = world.expect_clean()
    check(found["files"] >= 20 and found["sessions"] >= 1 and found["fds"] > 20, f"{found}")
    worker = world.status()["pid_worker"]
    world.kill(worker)
    wait_for("the next worker", lambda: world.status()["pid_worker"] not in (0, worker))
    world.expect_clean()
    contains(world.must("fsck").out, "leak ledger: the worker's attach corrected", "the ledger")

    # An image: sparse, private, refused to be overwritten; clean.
    image = world.path("saved.arena")
    world.must("kho", "save", image)
    equal(os.stat(image).st_mode & 0o7777, 0o600, "the image's mode")
    check(os.stat(image).st_blocks * 512 < os.stat(image).st_size // 2, "the image is not sparse")
    equal(world.outlive("kho", "save", image).code, 1, "saved over another")
    world.expect_clean()  # the copy that was handed out is gone
    session.close()
    device.close()
    world.stop_outlived()

    # From here on there is no outlived.
    whole = read(image)
    found = world.json("fsck", "--image", image)
    check(found["clean"] and found["files"] >= 20, f"the image: {found}")
    equal(read(image), whole, "the image after a look")

    # What is derived: a leaked page, bytes in a free one.
    page = free_page(image)
    write(image, TABLE + 8 * page, OWNER_SERVICE << 48 | STATE_LIVE << 32)
    write(image, (page + 1) * PAGE + 800, 0x5ec2e7)
    broken = read(image)
    done = fsck(world, image)
    equal(done.code, 1, "a broken image")
    contains(done.out, f"page {page * PAGE:#x}: preserved for owner 'service', but no record", "it")
    contains(done.out, f"page {(page + 1) * PAGE:#x}: free, and not zero", "it")
    contains(done.out, "keys differ", "it")
    contains(done.out, "[--repair puts it right]", "it")
    equal(read(image), broken, "the broken image after a look")
    done = fsck(world, image, "--repair")
    equal(done.code, 0, f"the repair: {done.out}{done.err}")
    contains(done.out, "repaired: ", "the repair")
    equal(read(image + ".before-repair"), broken, "what was saved before the repair")
    equal(os.stat(image + ".before-repair").st_mode & 0o7777, 0o600, "its mode")
    found = world.json("fsck", "--image", image)
    check(found["clean"] and found["files"] >= 20, f"after the repair: {found}")
    done = fsck(world, image, "--repair")
    equal((done.code, done.out.split(":")[0]), (0, "clean"), "nothing to repair")

    # What can't be derived: listed, exit 1, left as it is.
    write(image, 64, 1 << 40)
    broken = read(image)
    done = fsck(world, image, "--repair")
    equal(done.code, 1, "a lying high water")
    contains(done.out, "high water", "the reason")
    contains(done.out, "[not repaired]", "what became of it")
    equal(read(image), broken, "the image that can't be repaired")

    # One line each for what is no image.
    for wrong in (world.path("absent"), world.dir):
        done = fsck(world, wrong)
        equal(done.code, 1, wrong)
        done.one_line()
    equal(world.outlive("fsck", "--repair").code, 2, "a repair of no image")
    left = sorted(name for name in os.listdir(world.dir) if name.startswith("saved.arena"))
    equal(left, ["saved.arena", "saved.arena.before-repair"], "files beside the image")


main(test)
