"""The C and C++ in README.md and docs/ compiles against the public headers."""
import re
import subprocess

from sources import where

BLOCK = re.compile(r"^```(cpp|c)\n(.*?)^```", re.M | re.S)
COMPILE = {"cpp": ["g++", "-std=c++17", "-xc++"], "c": ["gcc", "-std=c99", "-xc"]}


def problems(root):
    found = []
    for path in sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")]):
        text = path.read_text()
        for match in BLOCK.finditer(text):
            first = text.count("\n", 0, match.start(2)) + 1
            done = subprocess.run(
                [*COMPILE[match.group(1)], "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{root}/include", "-"],
                input=f'#line {first} "{where(root, path)}"\n{match.group(2)}', capture_output=True, text=True)
            if done.returncode:
                found.append(next((e for e in done.stderr.splitlines() if "error" in e), done.stderr))
    return found
