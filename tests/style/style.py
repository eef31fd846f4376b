#!/usr/bin/env python3
"""Runs one rule of house style over a source tree: style.py RULE --root DIR [--work DIR] [--build DIR].

Prints a line for every violation. Exit code 0: none; 1: some; 77: the tool it needs is missing.
"""
import argparse
import importlib
import inspect
import sys
from pathlib import Path

RULES = sorted(p.stem for p in (Path(__file__).parent / "rules").glob("*.py") if p.stem != "__init__")
SKIPPED = 77


def run(rule, root, **folders):
    """The violations of one rule; the folders that it asks for are handed in."""
    module = importlib.import_module(f"rules.{rule}")
    wanted = inspect.signature(module.problems).parameters
    return module.problems(Path(root).resolve(), **{k: v for k, v in folders.items() if k in wanted and v})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rule", choices=RULES)
    parser.add_argument("--root", default=Path(__file__).parents[2])
    parser.add_argument("--work", help="where a rule may keep files between runs")
    parser.add_argument("--build", help="build folder, for the rule that asks ctest for names")
    args = parser.parse_args()
    available = getattr(importlib.import_module(f"rules.{args.rule}"), "available", lambda: None)
    if available():
        print(f"skipped: {available()}")
        return SKIPPED
    found = run(args.rule, args.root, work=args.work, build=args.build)
    for line in found:
        print(line)
    print(f"{args.rule}: {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
