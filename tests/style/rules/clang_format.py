"""Every source is formatted as .clang-format says. The version matters: 14, as in Debian 12."""
import re
import shutil
import subprocess

from sources import code_files

FOLDERS = ("src", "include", "examples", "tests", "bench")


def formatter():
    """clang-format 14, or None."""
    for name in ("clang-format-14", "clang-format"):
        path = shutil.which(name)
        if path:
            version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
            if re.search(r"version 14\.", version):
                return path
    return None


def available():
    return None if formatter() else "clang-format 14 is not installed"


def problems(root):
    files = [p.relative_to(root).as_posix() for p in code_files(root, *FOLDERS)]
    if not files:
        return []
    done = subprocess.run([formatter(), "--dry-run", "-Werror", "--style=file", *files], cwd=root,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == 0:
        return []
    names = sorted({line.split(":")[0] for line in done.stderr.splitlines() if ": error:" in line})
    return [f"{n}: not formatted (make format)" for n in names] or [done.stderr.strip()]
