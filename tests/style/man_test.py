#!/usr/bin/env python3
"""man_test.py BIN_DIR: man pages and completion say what the programs' --help says, and no more."""
import re
import subprocess
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))
from rules import sample_config  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
BIN = None
COMMON = {"--help", "--json", "--runtime-dir"}  # said once in outlive(1), not at each command
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def help_of(*words):
    done = subprocess.run([BIN / words[0], *words[1:], "--help"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=True)
    return done.stdout


def options_in_help(text):
    """The options that it lists; not those that its prose and examples mention."""
    return set(re.findall(r"^  (?:-\w,)?(--[a-z][a-z-]*)", text, re.M))


def verbs():
    listed = help_of("outlive").partition("Subcommands:\n")[2].partition("\n\n")[0]
    return re.findall(r"^  ([a-z-]+) ", listed, re.M)


def help_of_verb(verb):
    return help_of("outlive", verb, *(["dump"] if verb == "kho" else []))


def man_text(name):
    """Without fonts and escapes."""
    text = (ROOT / "docs/man" / name).read_text()
    text = re.sub(r"\\f[BIRP]", "", text).replace(r"\-", "-").replace(r"\(dq", '"')
    return text


def man_of_verbs(names):
    """{verb: its part of outlive(1), COMMANDS}."""
    parts, verb, after_tp = {}, None, False
    commands = man_text("outlive.1").partition(".SH COMMANDS\n")[2].partition(".SH OPTIONS")[0]
    for line in commands.splitlines():
        words = re.sub(r"^\.B[IR]? ", "", line).split()
        if after_tp and words and words[0] in names:
            verb = words[0]
        after_tp = line == ".TP"
        parts.setdefault(verb, []).append(line)
    return {verb: "\n".join(lines) for verb, lines in parts.items()}


def exit_codes(text, pattern):
    return {int(code) for code in re.findall(pattern, text, re.M)}


class Man(unittest.TestCase):
    def test_every_option_of_every_command(self):
        names = verbs()
        self.assertIn("update", names)
        pages = man_of_verbs([*names, "kho"])  # kho: also where a build leaves it out
        for verb in names:
            self.assertIn(verb, pages, "outlive(1), COMMANDS")
            told, there = set(OPTION.findall(pages[verb])), options_in_help(help_of_verb(verb))
            self.assertEqual(there - told - COMMON, set(), f"options of {verb} that outlive(1) lacks")
            self.assertEqual(told - there - COMMON, set(), f"outlive(1): options that {verb} doesn't know")

    def test_outlived(self):
        there = options_in_help(help_of("outlived")) - {"--help"}
        text = man_text("outlived.8").partition(".SH OPTIONS\n")[2].partition(".SH ")[0]
        self.assertEqual(set(OPTION.findall(text)), there)

    def test_completion(self):
        names = verbs()
        text = (ROOT / "src/cli/outlive.bash").read_text()
        completed = re.search(r'verbs="([^"]*)"', text).group(1).split()
        self.assertEqual(set(names) - set(completed), set(), "commands that aren't completed")
        common = set(re.search(r'common="([^"]*)"', text).group(1).split())
        for verb in names:
            line = re.search(rf'^ +(?:[a-z-]+\|)*{verb}(?:\|[a-z-]+)*\) words=(.*) ;;$', text, re.M)
            self.assertIsNotNone(line, f"completion of {verb}")
            offered = set(OPTION.findall(line.group(1)))
            offered |= common if "$common" in line.group(1) else set()
            self.assertEqual(offered, options_in_help(help_of_verb(verb)) | {"--runtime-dir"}, verb)

    def test_exit_codes(self):
        codes = exit_codes((ROOT / "src/cli/exit_codes.h").read_text(), r"int kExit\w+ = (\d+);")
        table = man_text("outlive.1").partition(".SH EXIT STATUS\n")[2].partition(".TE")[0]
        self.assertEqual(exit_codes(table, r"^(\d+)\|"), codes, "outlive(1)")
        readme = (ROOT / "README.md").read_text().partition("## Exit codes\n")[2].partition("\n## ")[0]
        self.assertEqual(exit_codes(readme, r"^\| (\d+) \|"), codes, "README.md")
        footer = help_of("outlive").partition("Exit codes:")[2]
        self.assertEqual(exit_codes(footer, r"(\d+) "), codes, "outlive --help")

    def test_every_command_has_an_example(self):
        for verb in verbs():
            self.assertRegex(help_of_verb(verb), rf"Examples?:\n  outlive {verb}", verb)

    def test_configuration(self):
        text = man_text("outlive.toml.5")
        for section, keys in sample_config.sample_keys((ROOT / "packaging/outlive.toml").read_text()).items():
            for key in keys:
                self.assertRegex(text, rf"(?m)^\.B.*(?<![\w-]){key}(?![\w-])", f"outlive.toml(5): [{section}]")


if __name__ == "__main__":
    BIN = Path(sys.argv[1]).resolve()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Man)
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
