"""TRY stands only after `=`, after `return`, or as a whole statement.

Anywhere else it is inside a larger expression, and GCC 12 leaks the temporaries of an aggregate
initialiser (`Foo{.a = TRY(x)}`) or an argument list when TRY returns early.
"""
import re

from sources import blank, code_files, line_of, where

USE = re.compile(r"\bTRY\s*\(")
# A `{` that opens a block: what stands before it.
BLOCK = re.compile(r"(?:[)\]:;{}]|\b(?:else|do|try|const|noexcept|override|mutable|final))$")
RESULT_TYPE = re.compile(r"->\s*[\w:<>,&*\s]+$")


def stands_well(before):
    """Whether TRY may stand after this text."""
    before = before.rstrip()
    if not before:
        return False
    if re.search(r"\b(?:return|else|do)$", before):
        return True
    last = before[-1]
    if last == "=":
        if re.search(r"[=!<>]=$", before):
            return False
        return not re.search(r"[{,]\s*\.\w+\s*=$", before)  # a designated initialiser
    if last == "{":
        opener = before[:-1].rstrip()
        return bool(BLOCK.search(opener) or RESULT_TYPE.search(opener))
    if last == ")":
        return closes_control(before)
    return last in ";}" or (last == ":" and bool(re.search(r"(?:\bcase\b[^?;{}]*|\bdefault\s*):$", before)))


def closes_control(before):
    """Whether the `)` at the end closes the condition of an if, for or while."""
    depth = 0
    for i in range(len(before) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(before[i], 0)
        if depth == 0:
            return bool(re.search(r"\b(?:if|for|while|constexpr)\s*$", before[:i]))
    return False


def problems(root):
    found = []
    for path in code_files(root, "src", "include", "examples", "tests", "bench"):
        text = blank(path.read_text())
        for match in USE.finditer(text):
            line_start = text.rfind("\n", 0, match.start()) + 1
            if text[line_start:match.start()].lstrip().startswith("#"):
                continue  # its own definition
            if not stands_well(text[max(0, match.start() - 2000):match.start()]):
                at = where(root, path, line_of(text, match.start()))
                found.append(f"{at}: TRY inside an expression; give its value a name first")
    return found
