#!/usr/bin/env python3
"""The front door's scripts: deps.sh with faked package tools, install.sh and uninstall.sh for real.

front_test.py deps                      deps.sh lists, asks for nothing, installs, or says what to run
front_test.py install --build BUILD     what is installed is what docs/files.md says; uninstall leaves nothing
front_test.py outside --build BUILD     programs outside this tree build against what was installed
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
        for start in starts:
            self.assertTrue(any(name.startswith(start) for name in files), f"{start}: in docs/files.md, not installed")

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


# In a prefix that nobody searches by himself; what they print is that no outlived is there.
PROGRAMS = {
    "main.c": ("c99", """#include <outlive/outlive.h>
#include <stdio.h>

int main(void) {
  outlive_client* client = NULL;
  if (outlive_connect("/nowhere", 0, &client) == 0) return 1;
  printf("%s: %s\\n", outlive_version(), outlive_error());
  return 0;
}
"""),
    "main.cc": ("c++17", """#include <outlive/outlive.hpp>

#include <cstdio>

int main() {
  auto client = outlive::Client::connect("/nowhere");
  if (client) return 1;
  std::printf("%s: %s\\n", outlive_version(), client.error().text().c_str());
  return 0;
}
"""),
}
CMAKE = """cmake_minimum_required(VERSION 3.16)
project(outside LANGUAGES C CXX)
find_package(outlive 0.1 REQUIRED)
add_executable(c main.c)
set_target_properties(c PROPERTIES C_STANDARD 99 C_EXTENSIONS OFF)
add_executable(cxx main.cc)
set_target_properties(cxx PROPERTIES CXX_STANDARD 17 CXX_EXTENSIONS OFF)
target_link_libraries(c PRIVATE outlive::outlive)
target_link_libraries(cxx PRIVATE outlive::outlive)
"""


class Outside(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="outlive-outside-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.prefix, self.source = self.dir / "prefix", self.dir / "source"
        self.run_it(ROOT / "scripts/install.sh", BUILD=str(BUILD), PREFIX=str(self.prefix), DESTDIR="")
        self.source.mkdir()
        for name, (_, text) in PROGRAMS.items():
            (self.source / name).write_text(text)
        (self.source / "CMakeLists.txt").write_text(CMAKE)

    def run_it(self, *words, **more):
        done = subprocess.run(words, env={**os.environ, **more}, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}{done.stdout}")
        return done.stdout

    def compilers(self):
        """(C, C++) of every compiler that is there."""
        for c, cxx in (("gcc", "g++"), ("clang", "clang++")):
            if shutil.which(c) and shutil.which(cxx):
                yield c, cxx
            else:
                print(f"no {c} and {cxx} here: not tried", file=sys.stderr)

    def assert_works(self, program):
        said = self.run_it(program, LD_LIBRARY_PATH=str(self.prefix / "lib"))
        self.assertRegex(said, r"^\d+\.\d+\.\d+: .*/nowhere")

    def test_cmake_package(self):
        for c, cxx in self.compilers():
            build = self.dir / f"build-{c}"
            self.run_it("cmake", "-S", self.source, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}",
                        f"-DCMAKE_C_COMPILER={c}", f"-DCMAKE_CXX_COMPILER={cxx}")
            self.run_it("cmake", "--build", build)
            self.assert_works(build / "c")
            self.assert_works(build / "cxx")

    def test_pkg_config(self):
        flags = self.run_it("pkg-config", "--cflags", "--libs", "outlive",
                            PKG_CONFIG_PATH=str(self.prefix / "lib/pkgconfig")).split()
        for pair in self.compilers():
            for compiler, (name, (standard, _)) in zip(pair, PROGRAMS.items()):
                program = self.dir / f"{compiler}-program"
                self.run_it(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                            self.source / name, "-o", program, *flags)
                self.assert_works(program)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["deps", "install", "outside"])
    parser.add_argument("--build")
    args = parser.parse_args()
    BUILD = Path(args.build).resolve() if args.build else None
    case = {"deps": Deps, "install": Install, "outside": Outside}[args.what]
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
