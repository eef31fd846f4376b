"""Shell scripts stop at errors, and shellcheck finds nothing in them."""
import shutil
import subprocess

from sources import where


def is_posix(path):
    """A script of the Debian package: run by /bin/sh, which has no pipefail."""
    return path.read_text().startswith("#!/bin/sh\n")


def scripts(root):
    found = [p for p in root.glob("scripts/*") if p.is_file() and p.suffix == ".sh"]
    found += root.glob("tests/kernel/*.sh")
    found += [p for p in root.glob("packaging/debian/*") if is_posix(p)]
    found += [p for p in [root / ".ci" / "run"] if p.is_file()]
    return sorted(found)


def problems(root):
    found = []
    for path in scripts(root):
        first = "set -e" if is_posix(path) else "set -euo pipefail"
        if f"\n{first}\n" not in path.read_text():
            found.append(f"{where(root, path)}: lacks `{first}`")
        tool = ["shellcheck", "--severity=style"] if shutil.which("shellcheck") else ["bash", "-n"]
        done = subprocess.run([*tool, str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            found.append(f"{where(root, path)}: {(done.stdout + done.stderr).strip()}")
    return found
