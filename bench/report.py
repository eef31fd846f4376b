"""Report: every figure beside its limit or peer and its target; a table for people, JSON for machines."""

import json


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def spread(values, divide_by=1000.0):
    """p50, p99 and max; from nanoseconds to microseconds."""
    return {"n": len(values), "p50": percentile(values, 50) / divide_by,
            "p99": percentile(values, 99) / divide_by, "max": max(values) / divide_by}


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


class Report:
    def __init__(self, quick):
        self.quick = quick
        self.rows = []
        self.targets = []
        self.skipped = []
        self.notes = []

    def section(self, title):
        print(f"\n== {title}", flush=True)

    def times(self, what, values_us, unit="us"):
        """One measured distribution. Returns it."""
        self.rows.append({"what": what, "unit": unit, **values_us})
        print(f"  {what:<58} n={values_us['n']:<6} p50 {number(values_us['p50']):>10}  "
              f"p99 {number(values_us['p99']):>10}  max {number(values_us['max']):>10} {unit}", flush=True)
        return values_us

    def value(self, what, value, unit):
        self.rows.append({"what": what, "unit": unit, "value": value})
        print(f"  {what:<58} {number(value)} {unit}", flush=True)

    def target(self, what, value, limit, unit=""):
        """A figure that quality.md sets a limit to."""
        self.targets.append({"what": what, "value": value, "limit": limit, "unit": unit,
                             "met": value <= limit})

    def skip(self, what, why):
        self.skipped.append({"what": what, "why": why})
        print(f"  skipped: {what}: {why}", flush=True)

    def note(self, text):
        self.notes.append(text)
        print(f"  {text}", flush=True)

    def table(self):
        print(f"\n== targets ({'--quick: few samples, for trials only' if self.quick else 'full run'})")
        print(f"  {'figure':<66} {'measured':>12} {'target':>12}")
        for one in self.targets:
            print(f"  {one['what']:<66} {number(one['value']):>12} {'<= ' + number(one['limit']):>12} "
                  f"{one['unit']:<7} {'met' if one['met'] else 'MISSED'}")
        for one in self.skipped:
            print(f"  {one['what']:<66} {'skipped':>12} {'':>12} {'':<7} {one['why']}")

    def save(self, path, about):
        with open(path, "w") as file:
            json.dump({**about, "quick": self.quick, "figures": self.rows, "targets": self.targets,
                       "skipped": self.skipped, "notes": self.notes}, file, indent=1)
            file.write("\n")
