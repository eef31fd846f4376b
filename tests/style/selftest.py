#!/usr/bin/env python3
"""Every style rule finds what it is there for: planted bad trees fail, good ones pass.

Each case is a small tree in a temporary folder: {path: text}. A rule without a bad case is an error.
"""
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))
import style  # noqa: E402
from rules import clang_format, readme_tests  # noqa: E402

DOC = ("// DOC: a format, compatible string \"outlive-x-v1\".\n"
       "// The ABI may change, if the change includes a new version in the compatible string.\n"
       "// Compatibility is guaranteed only between the versions listed here: v1.\n"
       "#pragma once\n")
X1 = 'inline constexpr char kX[] = "outlive-x-v1";\n'
PARSER = 'Status read_kho(Table& table, Config& config) {\n  TRY(table.flag("enabled", x));\n  return table.done();\n}\n'
ROW = "<!-- tests: begin -->\n| dies | kept | test |\n|---|---|---|\n| worker | all | %s |\n<!-- tests: end -->\n"
LONG = "int x;\n" * 501


def config(sample):
    return {"src/daemon/config.cc": PARSER, "packaging/outlive.toml": sample}


def body(statement):
    return {"src/luo/a.cc": "Status f() {\n" + statement + "\n}\n"}


GOOD = {
    "include_direction": [
        {"src/luo/a.cc": '#include "kho/arena.h"\n#include "luo/b.h"\n#include "base/result.h"\n'},
        {"src/cli/a.cc": '#include "kho/dump.h"\n#include "wire/client.h"\n#include "outlive/outlive.h"\n'},
        {"src/abi/a.h": '// #include "luo/state.h" would be wrong\n'},
        {"src/cli/a.cc": '#include "compat/compat.h"\n'},
        {"include/outlive/a.h": '#include "outlive/outlive.h"\n#include <string>\n'},
    ],
    "headers_alone": [{"src/base/a.h": "#pragma once\n#include <string>\nstruct A { std::string b; };\n",
                       "include/outlive/outlive.h": "#ifndef X\n#define X\nint f(void);\n#endif\n"}],
    "try_usage": [
        body("  auto a = TRY(g());\n  TRY(h(1, 2));\n  x.y = TRY(g());\n  return TRY(g());"),
        body("  if (a) TRY(g());\n  else TRY(h());\n  for (;;) {\n    TRY(g());\n  }"),
        body("  auto l = [&]() -> Result<int> { TRY(g()); return 1; };\n  if (auto v = TRY(g()); v) {}"),
        body("  switch (a) {\n    case Kind::kA: TRY(g()); break;\n    default: TRY(h());\n  }"),
        {"src/base/result.h": "#define TRY(...) OUTLIVE_TRY((__VA_ARGS__), x)\n// f(TRY(x)) is wrong\n"},
    ],
    "formats_only_in_abi": [{"src/abi/a.h": "struct [[gnu::packed]] A { int b; };\n"},
                            {"src/kho/a.h": "// no [[gnu::packed]] here\n"},
                            {"src/kho/a_test.cc": "struct [[gnu::packed]] A { int b; };\n"}],
    "abi_versions": [
        {"src/abi/x.h": DOC + X1},
        {"src/abi/x.h": DOC.replace("here: v1", "here: outlive-x-v1 (written and read)") + X1},
        {"src/abi/x.h": DOC + X1 + "inline constexpr uint16_t kXVersion = 1;\n"},
        {"src/abi/x.h": "// DOC: the kernel's facts.\n#pragma once\nint x;\n"},
    ],
    "no_throw": [{"src/luo/a.cc": '// we never throw\nauto a = "throw";\n', "src/luo/a_test.cc": "throw 1;\n"}],
    "file_size": [{"src/luo/a.cc": "int x;\n" * 500}],
    "clang_format": [{"src/luo/a.cc": "int f() { return 1; }\n", ".clang-format": "BasedOnStyle: Google\n"}],
    "shell_scripts": [{"scripts/a.sh": '#!/usr/bin/env bash\nset -euo pipefail\necho "$1"\n'},
                      {"packaging/debian/prerm": '#!/bin/sh\nset -e\necho "$1"\n'}],
    "sample_config": [config("# Prose.\n[kho]\n# On or off.\n# enabled = true\n")],
    "readme_tests": [{"README.md": ROW % "ctest `crash.worker`"}, {"README.md": ROW % "ctest `crash.*`"},
                     {"README.md": ROW % "no test yet"}],
    "readme_code": [{"README.md": "```cpp\n#include <outlive/a.h>\nint g() { return f(); }\n```\n",
                     "include/outlive/a.h": "int f();\n"}],
    "doc_links": [{"README.md": "[a](docs/a.md#x) [b](https://b.c)\n```\n[c](nowhere.md)\n```\n", "docs/a.md": ""}],
}

BAD = {
    "include_direction": [
        {"src/compat/a.cc": '#include "cli/cli.h"\n'},
        {"src/kho/a.cc": '#include "luo/state.h"\n'},
        {"src/base/a.h": '  #  include "abi/wire.h"\n'},
        {"src/client/a.cc": '#include "daemon/loop.h"\n'},
        {"src/cli/a.cc": '#include "client/client.h"\n'},
        {"src/wire/a.cc": '#include "cli/verb.h"\n'},
        {"src/luo/a.cc": '#include "state.h"\n'},
        {"src/luo/a.cc": '#include "outlive/outlive.h"\n'},
        {"src/misc/a.cc": "int x;\n"},
        {"include/outlive/a.h": '#include "base/result.h"\n'},
    ],
    "headers_alone": [
        {"src/base/a.h": "#pragma once\nstruct A { std::string b; };\n"},
        {"src/base/a.h": "#pragma once\nstruct A { std::string b; };\n",
         "src/base/a.cc": '#include <string>\n#include "base/a.h"\n'},
        {"include/outlive/outlive.h": "#ifndef X\n#define X\nclass A;\n#endif\n"},
        {"include/outlive/a.h": "#pragma once\n#include <string>\nstruct A { std::expected<int, int> b; };\n"},
    ],
    "try_usage": [
        body("  return Foo{TRY(g())};"), body("  h(TRY(g()));"), body("  Foo f{.a = TRY(g())};"),
        body("  Foo f{.a = 1, .b = TRY(g())};"), body("  if (TRY(g())) return {};"), body("  int a = 1 + TRY(g());"),
        body("  return a == TRY(g());"), body("  return x ? TRY(g()) : 1;"), body("  (void)TRY(g());"),
        body("  auto a = TRY(h(TRY(g())));"), body("  return {TRY(g())};"), body("  auto a = Foo{1,\n  TRY(g())};"),
    ],
    "formats_only_in_abi": [
        {"src/kho/a.h": "struct [[gnu::packed]] A { int b; };\n"},
        {"src/luo/a.cc": "struct A { int b; } __attribute__((packed));\n"},
        {"include/outlive/a.h": "#pragma pack(push, 1)\n"},
    ],
    "abi_versions": [
        {"src/abi/x.h": DOC + X1.replace("v1", "v2")},
        {"src/abi/x.h": DOC.replace("here: v1", "here: v2") + X1},
        {"src/abi/x.h": DOC.replace("here: v1", "here: outlive-x-v2") + X1},
        {"src/abi/x.h": DOC.replace("here: v1", "here: none") + X1},
        {"src/abi/x.h": DOC.replace("The ABI may change", "It may change") + X1},
        {"src/abi/x.h": DOC + X1 + 'inline constexpr char kY[] = "outlive-y-v1";\n'},
        {"src/abi/x.h": DOC + X1 + "inline constexpr uint16_t kXVersion = 2;\n"},
        {"src/abi/x.h": "#pragma once\n" + X1},
    ],
    "no_throw": [{"src/luo/a.cc": "void f() { throw 1; }\n"}, {"src/luo/a.h": "inline void f() { throw 1; }\n"}],
    "file_size": [{"src/luo/a.cc": LONG}, {"src/files/memfd/a.cc": LONG}, {"src/daemon/main.cc": "int x;\n" * 81}],
    "clang_format": [{"src/luo/a.cc": "int f( ){return 1;}\n", ".clang-format": "BasedOnStyle: Google\n"}],
    "shell_scripts": [{"scripts/a.sh": "#!/usr/bin/env bash\necho 1\n"},
                      {"packaging/debian/prerm": "#!/bin/sh\necho 1\n"},
                      {"scripts/a.sh": "#!/usr/bin/env bash\nset -euo pipefail\nif then\n"},
                      {".ci/run": "#!/usr/bin/env bash\necho 1\n"}],
    "sample_config": [config("[kho]\n"), config("[kho]\n# enabled = true\n# arena = 1\n"),
                      config("[kho]\n# enabled = yes\n"), config("[kho]\n# enabled = true\n[x]\n# y = 1\n")],
    "readme_tests": [{"README.md": ROW % "ctest `crash.nobody`"}, {"README.md": ROW % "surely"},
                     {"README.md": ROW % "ctest `e2e.*`"}, {"README.md": "nothing\n"}],
    "readme_code": [{"README.md": "```cpp\n#include <outlive/a.h>\nint g() { return f(); }\n```\n",
                     "include/outlive/a.h": "int f();\n"}],
    "readme_code": [{"README.md": "```cpp\nint g() { return f(); }\n```\n"},
                    {"docs/a.md": "```c\nclass A;\n```\n"}],
    "doc_links": [{"README.md": "[a](docs/a.md)\n"}, {"docs/a.md": "[a](b.md)\n"}],
}

EXTRA = {"readme_tests": {"names": {"crash.worker"}}}


def violations(rule, tree):
    with tempfile.TemporaryDirectory(prefix="outlive-style-") as folder:
        for name, text in tree.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return style.run(rule, folder, **EXTRA.get(rule, {}))


class EveryRule(unittest.TestCase):
    def test_has_cases(self):
        for rule in style.RULES:
            self.assertTrue(GOOD.get(rule), f"no good case for {rule}")
            self.assertTrue(BAD.get(rule), f"no bad case for {rule}")

    def cases(self, table):
        for rule, trees in table.items():
            if rule == "clang_format" and clang_format.available():
                continue
            for tree in trees:
                yield rule, tree

    def test_passes_what_is_good(self):
        for rule, tree in self.cases(GOOD):
            with self.subTest(rule=rule, tree=tree):
                self.assertEqual(violations(rule, tree), [])

    def test_finds_what_is_bad(self):
        for rule, tree in self.cases(BAD):
            with self.subTest(rule=rule, tree=tree):
                self.assertNotEqual(violations(rule, tree), [])

    def test_reads_rows(self):
        self.assertEqual(len(readme_tests.rows(ROW % "x")), 1)


if __name__ == "__main__":
    unittest.main()
