"""Every header compiles alone; the public ones in the oldest language they promise.

A header that its own x.cc or x_test.cc includes first is compiled alone by the build; only the others
are compiled here.
"""
import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sources import blank, code_files, where

WARNINGS = "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror".split()


def built_first(root, header):
    """Whether a source of the build includes this header before anything else: then the build shows it."""
    name = header.relative_to(root / "src").as_posix()
    for source in (header.with_suffix(".cc"), header.with_name(f"{header.stem}_test.cc")):
        if source.exists() and blank(source.read_text(), keep_strings=True).lstrip().startswith(f'#include "{name}"'):
            return True
    return False


def languages(root, header):
    """The (compiler, standard, suffix) that this header must compile with."""
    if root / "src" in header.parents:
        return [] if built_first(root, header) else [("g++", "gnu++23", "cc")]
    cpp = [("g++", "c++17", "cc")]
    return [("gcc", "c99", "c")] + cpp if header.name == "outlive.h" else cpp


def compile_one(root, header, language, work, environment):
    compiler, standard, suffix = language
    base = root / ("src" if root / "src" in header.parents else "include")
    name = header.relative_to(base).as_posix()
    # A stub of the same name each time, and ccache: what has not changed isn't compiled again.
    key = hashlib.sha1(f"{name}{compiler}".encode()).hexdigest()[:16]
    stub = work / f"{key}.{suffix}"
    if not stub.exists():
        stub.write_text(f'#include "{name}"\n')
    cache = ["ccache"] if environment else []
    includes = ["-I", str(root / "include")]
    if base.name == "src":
        includes += ["-I", str(root / "src"), "-D_GNU_SOURCE", '-DOUTLIVE_VERSION="0"']
    done = subprocess.run(
        cache + [compiler, f"-std={standard}", *WARNINGS, *includes, "-O0", "-c", str(stub), "-o", f"{stub}.o"],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
    return f"{where(root, header)} doesn't compile alone ({compiler} -std={standard}): {first}"


def cache_environment(work):
    """The environment for ccache, with a folder that can be written; None: no cache."""
    if not work or not shutil.which("ccache"):
        return None
    environment = dict(os.environ)
    if "CCACHE_DIR" not in environment and not os.access(Path.home(), os.W_OK):
        environment["CCACHE_DIR"] = str(Path(work) / "ccache")
    return environment


def problems(root, work=None):
    with tempfile.TemporaryDirectory(prefix="outlive-headers-") as scratch:
        folder = Path(work) if work else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        environment = cache_environment(work)
        jobs = [(root, h, language, folder, environment)
                for h in code_files(root, "src", "include", suffixes={".h", ".hpp"})
                for language in languages(root, h)]
        with ThreadPoolExecutor(max_workers=2) as pool:
            return [p for p in pool.map(lambda job: compile_one(*job), jobs) if p]
