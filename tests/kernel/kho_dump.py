"""`outlive kho dump --kernel` before and after a kexec: the live update number and the kexec count go on,
what this kernel shows wrong is said and not decoded, and the saved dumps differ in the number."""

import json

from case import main
from harness import check, contains, equal


def dump(machine):
    return json.loads(machine.must("outlive", "kho", "dump", "--kernel", "--json"))


def subtree(side, name):
    return next(one for one in side["subtrees"] if one["name"] == name)


def test(machine):
    machine.offer(machine.program("outlive"))
    machine.offer(machine.program("kernel-memfd"))
    cold = dump(machine)
    equal(cold["in"], None, "what came from no kernel")
    luo = subtree(cold["out"], "LUO")
    check(luo["compatible"].startswith("luo-v"), f"LUO's version: {luo}")
    equal(luo["liveupdate_number"], 1, "the number of the live update to come")
    equal(subtree(cold["out"], "kho_test")["kind"], "not decoded", "a subtree of somebody else")
    scratch = sum(one["size"] for one in cold["scratch"])
    check(scratch > 1 << 20, f"scratch memory: {cold['scratch']}")
    fdt_said = any("out/fdt" in note for note in cold["notes"])
    check(fdt_said or cold["out"]["compatible"], f"out/fdt is neither decoded nor noted: {cold}")

    machine.must("kernel-memfd", "save")
    machine.kexec()
    warm = dump(machine)
    check(warm["in"]["compatible"].startswith("kho-v"), f"the root FDT: {warm['in']}")
    equal({one["name"] for one in warm["in"]["subtrees"]}, {"LUO", "kho_test", "kexec-metadata"},
          "what came")
    before = subtree(warm["in"], "kexec-metadata")
    release = machine.read("/proc/sys/kernel/osrelease").strip()
    equal((before["release"], before["kexec_count"]), (release, 1), "who handed over")
    equal(subtree(warm["out"], "LUO")["liveupdate_number"], 2, "the next number")
    contains(" ".join(warm["notes"]), "in/sub_fdts/LUO", "the notes on a page that was freed")
    contains(machine.must("outlive", "kho", "dump", "--kernel"), "kexec_count 1", "the text")

    for name, content in (("cold", cold), ("warm", warm)):
        with open(f"{machine.host}/{name}", "w") as file:
            json.dump(content, file)
    same = machine.run("outlive", "kho", "diff", "/host/cold", "/host/cold")
    equal((same.code, same.out), (0, ""), "a dump compared with itself")
    differ = machine.run("outlive", "kho", "diff", "/host/cold", "/host/warm")
    equal(differ.code, 1, "the exit code when something differs")
    contains(differ.out, "- out.subtrees[LUO].liveupdate_number 1\n"
                         "+ out.subtrees[LUO].liveupdate_number 2\n", "the differences")


main(test)
