"""The versions that an ABI header's prose names are those of its constants."""
import re

from sources import blank, code_files, where

CONSTANT = re.compile(r'\bchar\s+k\w+\[\]\s*=\s*"([\w.-]+-v(\d+))"')
NUMBER = re.compile(r"\bk\w*Version\s*=\s*(\d+)")
QUOTED = re.compile(r'"([\w.-]+-v\d+)"')
MAY_CHANGE = "The ABI may change, if the change includes a new version in the compatible string"
LISTED = "Compatibility is guaranteed only between the versions listed here:"


def of_header(text):
    """What is wrong with one header."""
    head, _, body = text.partition("#pragma once")
    prose = " ".join(line.lstrip("/ ") for line in head.splitlines())
    if not prose.startswith("DOC:"):
        return ["has no DOC block"]
    code = blank(body, keep_strings=True)
    constants = {m.group(1): m.group(2) for m in CONSTANT.finditer(code)}
    if not constants:
        return []  # names no version of ours: the kernel's own facts
    wrong = [f'the prose names "{n}", no constant does' for n in QUOTED.findall(prose) if n not in constants]
    wrong += [f'the prose doesn\'t name "{n}"' for n in constants if f'"{n}"' not in prose]
    wrong += [f'lacks the sentence "{s}"' for s in (MAY_CHANGE, LISTED) if s not in prose]
    listed = re.split(r"\.\s", prose.partition(LISTED)[2] + " ", maxsplit=1)[0]
    if LISTED in prose and not re.search(r"\bv\d+\b", listed):
        wrong.append("lists no version behind 'listed here:'")
    versions = set(constants.values())
    for name, number in re.findall(r"([\w.-]*?)\bv(\d+)\b", listed):
        if (f"{name}v{number}" if name else None) not in constants and (name or number not in versions):
            wrong.append(f"lists {name}v{number}, which no constant names")
    wrong += [f"k...Version = {n}, the strings say v{'/v'.join(sorted(versions))}"
              for n in NUMBER.findall(code) if n not in versions]
    return wrong


def problems(root):
    return [f"{where(root, path)}: {wrong}"
            for path in code_files(root, "src/abi", suffixes={".h"})
            for wrong in of_header(path.read_text())]
