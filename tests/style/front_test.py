#!/usr/bin/env python3
"""The front door's scripts: deps.sh with faked package tools, install.sh and uninstall.sh for real.

front_test.py deps                      deps.sh lists, asks for nothing, installs, or says what to run
front_test.py install --build BUILD     what is installed is what docs/files.md says; uninstall leaves nothing
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = None

FAKES = {
    # "installed" holds the packages that are there.
    "dpkg-query": 'for p; do :; done; if grep -qx -- "$p" "$FAKE/installed"; then echo -n installed; else exit 1; fi',
    "apt-get": 'echo "apt-get $*" >>"$FAKE/log"; [[ $1 == install && -e $FAKE/broken ]] && exit 100; exit 0',
    "id": '[[ $1 == -u ]] && cat "$FAKE/uid"',
    "sudo": 'echo "sudo $*" >>"$FAKE/log"; [[ -e $FAKE/sudo-works ]] || exit 1; [[ $1 == -n ]] && exit 0; "$@"',
}


class Deps(unittest.TestCase):
    def setUp(self):
        self.fake = Path(tempfile.mkdtemp(prefix="outlive-front-"))
        self.addCleanup(shutil.rmtree, self.fake)
        (self.fake / "bin").mkdir()
        for name, text in FAKES.items():
            path = self.fake / "bin" / name
            path.write_text(f"#!/bin/bash\n{text}\n")
            path.chmod(0o755)
        (self.fake / "installed").write_text("")
        (self.fake / "log").write_text("")
        (self.fake / "uid").write_text("0\n")

    def deps(self, *steps, **environment):
        env = {"PATH": f"{self.fake}/bin:{os.environ['PATH']}", "FAKE": str(self.fake), **environment}
        return subprocess.run([ROOT / "scripts/deps.sh", *steps], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)

    def log(self):
        return (self.fake / "log").read_text()

    def install_all(self, *steps):
        names = [line.split()[0] for step in steps
                 for line in (ROOT / f"scripts/packages-{step}.txt").read_text().splitlines()
                 if line.strip() and not line.startswith("#")]
        (self.fake / "installed").write_text("\n".join(names) + "\n")
        return names

    def test_says_nothing_when_all_is_there(self):
        self.install_all("build", "demo")
        done = self.deps("build", "demo")
        self.assertEqual((done.returncode, done.stderr, self.log()), (0, "", ""))

    def test_installs_only_what_is_missing(self):
        names = self.install_all("build", "test")
        (self.fake / "installed").write_text("\n".join(n for n in names if n not in ("mold", "shellcheck")) + "\n")
        done = self.deps("build", "test")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("mold                    # linker", done.stderr)
        self.assertRegex(self.log(), r"apt-get update.*\napt-get install .* mold shellcheck\n")

    def test_installs_a_package_of_two_lists_once(self):
        self.install_all("build")
        self.deps("demo", "test")
        self.assertEqual(self.log().count("redis-tools"), 1)

    def test_every_list_names_a_use_for_every_package(self):
        for path in ROOT.glob("scripts/packages-*.txt"):
            for line in path.read_text().splitlines():
                self.assertRegex(line, r"^(#|$|[a-z0-9][a-z0-9.+-]+ +# \S)", path.name)

    def test_tells_an_ordinary_user_what_to_run(self):
        (self.fake / "uid").write_text("65534\n")
        done = self.deps("demo")
        self.assertEqual(done.returncode, 1)
        self.assertIn("apt-get install --no-install-recommends redis-tools", done.stderr)
        self.assertNotIn("apt-get", self.log())

    def test_uses_sudo_that_asks_nothing(self):
        (self.fake / "uid").write_text("65534\n")
        (self.fake / "sudo-works").write_text("")
        done = self.deps("demo")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("apt-get install", self.log())

    def test_says_when_it_cannot(self):
        (self.fake / "broken").write_text("")
        done = self.deps("demo")
        self.assertEqual(done.returncode, 1)
        self.assertIn("could not install: redis-tools", done.stderr)

    def test_refuses_a_step_that_has_no_list(self):
        self.assertEqual(self.deps("nothing").returncode, 2)


class Install(unittest.TestCase):
    def setUp(self):
        self.prefix = Path(tempfile.mkdtemp(prefix="outlive-install-"))
        self.addCleanup(shutil.rmtree, self.prefix, ignore_errors=True)

    def script(self, name, **more):
        env = {**os.environ, "BUILD": str(BUILD), "PREFIX": str(self.prefix), "DESTDIR": "", **more}
        return subprocess.run([ROOT / "scripts" / name], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)

    def files(self, below=None):
        below = below or self.prefix
        return sorted(p.relative_to(below).as_posix() for p in below.rglob("*") if not p.is_dir())

    def test_installs_what_the_table_says_and_uninstalls_all_of_it(self):
        stranger = self.prefix / "share/outlive/not-ours"
        stranger.parent.mkdir(parents=True)
        stranger.write_text("")
        done = self.script("install.sh")
        self.assertEqual(done.returncode, 0, done.stderr)
        files = self.files()
        for wanted in ("bin/outlived", "bin/outlive", "lib/liboutlive.so", "include/outlive/outlive.h", "include/outlive/outlive.hpp",
                       "lib/pkgconfig/outlive.pc", "lib/cmake/outlive/outliveConfig.cmake",
                       "lib/systemd/system/outlived.service", "share/doc/outlive/README.md", "share/man/man1/outlive.1",
                       "share/bash-completion/completions/outlive",
                       "share/outlive/installed-files"):
            self.assertIn(wanted, files)
        unit = (self.prefix / "lib/systemd/system/outlived.service").read_text()
        self.assertIn(f"ExecStart={self.prefix}/bin/outlived\n", unit)
        self.assert_in_table([f for f in files if not f.endswith("not-ours")])
        done = self.script("uninstall.sh")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.files(), ["share/outlive/not-ours"])

    def assert_in_table(self, files):
        """docs/files.md has a row for each installed file, by the start of its path."""
        table = re.findall(r"^\| ((?:bin|lib|include|share)/[^|]*) \|", (ROOT / "docs/files.md").read_text(), re.M)
        starts = [cell.split(",")[0] for cell in table]
        for name in files:
            self.assertTrue(any(name.startswith(s) for s in starts), f"{name} is in no row of docs/files.md")

    def test_honours_destdir(self):
        root = self.prefix / "root"
        self.assertEqual(self.script("install.sh", PREFIX="/usr", DESTDIR=str(root)).returncode, 0)
        self.assertTrue((root / "usr/bin/outlive").exists())
        self.assertIn("ExecStart=/usr/bin/outlived\n",
                      (root / "usr/lib/systemd/system/outlived.service").read_text())
        self.assertEqual(self.script("uninstall.sh", PREFIX="/usr", DESTDIR=str(root)).returncode, 0)
        self.assertEqual(self.files(), [])

    def test_uninstall_refuses_where_nothing_was_installed(self):
        done = self.script("uninstall.sh")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing was installed there", done.stderr)

    def test_uninstall_keeps_to_its_prefix(self):
        victim = self.prefix / "victim"
        victim.write_text("")
        listed = self.prefix / "in/share/outlive/installed-files"
        listed.parent.mkdir(parents=True)
        listed.write_text(f"{victim}\n{self.prefix}/in/../victim\n{listed}\n")
        self.script("uninstall.sh", PREFIX=str(self.prefix / "in"))
        self.assertEqual(self.files(), ["victim"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["deps", "install"])
    parser.add_argument("--build")
    args = parser.parse_args()
    BUILD = Path(args.build).resolve() if args.build else None
    case = {"deps": Deps, "install": Install}[args.what]
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
