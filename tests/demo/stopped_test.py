"""Ctrl-C in the middle of the demo: it says so, ends with 1, and leaves no process and no folder."""

import os
import re
import signal
import subprocess
import sys

bin_dir = os.path.abspath(sys.argv[1])
demo = subprocess.Popen(
    [sys.executable, "-B", os.path.join(os.path.dirname(os.path.abspath(__file__)), "demo.py"),
     "--bin-dir", bin_dir, "--connections", "50", "--rate", "1000"],
    stdout=subprocess.PIPE, text=True)
folder = None
last = ""
for line in demo.stdout:
    print(line, end="")
    last = line
    found = re.search(r"folder (\S+)", line)
    if found:
        folder = found.group(1)
    if "update 3:" in line:
        demo.send_signal(signal.SIGINT)
assert demo.wait() == 1, demo.returncode
assert last == "demo: FAILED stopped by SIGINT\n", last
assert folder, "the demo did not say where it works"
assert not os.path.exists(folder), folder


def mentions(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ, open(f"/proc/{pid}/cmdline", "rb") as line:
            return folder.encode() in environ.read() + line.read()
    except OSError:
        return False  # gone, or another user's


left = [pid for pid in os.listdir("/proc") if pid.isdigit() and mentions(pid)]
assert not left, f"still running: {left}"
print("stopped: OK")
