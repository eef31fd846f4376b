"""Every row of README's failure table, and every guarantee, names ctests that exist.

A row may say "no test yet" instead: then it is a plan, and the reader sees that it is one.
"""
import re
import subprocess

MARKED = re.compile(r"<!-- tests: begin -->(.*?)<!-- tests: end -->", re.S)
NAME = re.compile(r"ctest `([^`]+)`")


def ctest_names(build):
    """The names of all tests of a build folder, also of those of make test-kernel."""
    out = subprocess.run(["ctest", "--test-dir", str(build), "-C", "kernel", "-N"], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^\s*Test\s+#\d+: (\S+)", out, re.M))


def rows(readme):
    """The rows of the marked tables, without head and rule."""
    found = []
    for part in MARKED.findall(readme):
        lines = [line for line in part.splitlines() if line.startswith("|")]
        found += lines[2:]
    return found


def matches(name, names):
    """A trailing * stands for any end."""
    return any(n.startswith(name[:-1]) for n in names) if name.endswith("*") else name in names


def problems(root, build=None, names=None):
    table = rows((root / "README.md").read_text())
    if not table:
        return ["README.md: no table between <!-- tests: begin --> and <!-- tests: end -->"]
    names = names if names is not None else ctest_names(build)
    found = []
    for row in table:
        title = row.split("|")[1].strip()
        named = NAME.findall(row)
        if not named and "no test yet" not in row:
            found.append(f"README.md, row '{title}': names no test")
        found += [f"README.md, row '{title}': no ctest is called '{n}'" for n in named if not matches(n, names)]
    return found
