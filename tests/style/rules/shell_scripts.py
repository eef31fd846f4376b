"""Shell scripts stop at errors, and shellcheck finds nothing in them."""
import shutil
import subprocess

from sources import where


def scripts(root):
    found = [p for p in root.glob("scripts/*") if p.is_file() and p.suffix == ".sh"]
    found += root.glob("tests/kernel/*.sh")
    found += [p for p in [root / ".ci" / "run"] if p.is_file()]
    return sorted(found)


def problems(root):
    found = []
    for path in scripts(root):
        if "\nset -euo pipefail\n" not in path.read_text():
            found.append(f"{where(root, path)}: lacks `set -euo pipefail`")
        tool = ["shellcheck", "--severity=style"] if shutil.which("shellcheck") else ["bash", "-n"]
        done = subprocess.run([*tool, str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            found.append(f"{where(root, path)}: {(done.stdout + done.stderr).strip()}")
    return found
