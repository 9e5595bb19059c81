"""Runs suites of other projects through Code Executor and with the bare interpreter, and tells where they differ.

Bring the suites yourself; nothing is downloaded. Start a server first:

  CODE_EXECUTOR_POLICY=off CODE_EXECUTOR_RATE_LIMIT=off CODE_EXECUTOR_CPUS=2 CODE_EXECUTOR_MAX_TIMEOUT=120 \\
  CODE_EXECUTOR_MAX_CPU_TIME=120 CODE_EXECUTOR_MAX_OUTPUT=8m CODE_EXECUTOR_DISK=256m \\
  CODE_EXECUTOR_MAX_FILES=8192 code-executor serve
"""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from compat import report
from compat.bare import Bare
from compat.case import Case, Comparison, compare, complete
from compat.ours import Ours
from compat.suites.algorithms import algorithms
from compat.suites.cpython import cpython
from compat.suites.learners import exercism, humaneval, mbpp

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".cache" / "compat"


def main() -> int:
    options = _options()
    results = report.Results(options.results)
    if cases := _cases(options):
        with Bare(options.image, options.python, options.timeout, KEPT / "bare") as bare:
            run(cases, bare, Ours(options.server, options.timeout), results)
    kept = results.read()
    (options.results / "differences.txt").write_text("\n".join(report.listed(kept)) + "\n")
    print(f"{report.table(kept)}\n\n{report.causes(kept)}")
    print(f"every difference: {options.results / 'differences.txt'}", file=sys.stderr)
    return 0


def run(cases: list[Iterator[Case]], bare: Bare, ours: Ours, results: report.Results) -> None:
    for case in itertools.chain.from_iterable(cases):
        compared = one(case, bare, ours)
        results.add(compared)
        if compared.skipped or compared.differences:
            found = compared.skipped or f"{report.different(compared)} of {compared.units} differ"
            print(f"{case.suite} {case.name}: {found}", file=sys.stderr, flush=True)


def one(case: Case, bare: Bare, ours: Ours) -> Comparison:
    """Run a case both ways; where it differs, run it both ways once more."""
    expected = [bare.run(case)]
    if not complete(case, expected[0]):
        return Comparison(case.suite, case.name, 0, 0, 0, 0, skipped=f"bare: {expected[0].exit}")
    got = [ours.run(case)]
    compared = compare(case, expected, got)
    if compared.differences:
        compared = compare(case, [*expected, bare.run(case, 1)], [*got, ours.run(case)])
    return compared


def _cases(options: argparse.Namespace) -> list[Iterator[Case]]:
    """Return what the suites that were given have to run, each as it is made."""
    patterns = options.only.split(",")

    def wanted(name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)

    suites: dict[str, Callable[[Path], Iterator[Case]]] = {
        "humaneval": humaneval,
        "mbpp": mbpp,
        "exercism": exercism,
        "algorithms": lambda root: algorithms(root, options.sample, options.seed),
        "cpython": lambda library: cpython(library, wanted),
    }
    given = {name: getattr(options, name) for name in suites if getattr(options, name)}
    return [filter(lambda case: wanted(case.name), suites[name](path)) for name, path in given.items()]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m compat", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    suites = parser.add_argument_group("suites (without one, the results so far are shown)")
    suites.add_argument("--humaneval", type=Path, metavar="FILE", help="data/HumanEval.jsonl.gz of openai/human-eval")
    suites.add_argument("--mbpp", type=Path, metavar="FILE", help="mbpp/mbpp.jsonl of google-research")
    suites.add_argument("--exercism", type=Path, metavar="DIR", help="a checkout of exercism/python")
    suites.add_argument("--algorithms", type=Path, metavar="DIR", help="a checkout of TheAlgorithms/Python")
    suites.add_argument("--cpython", type=Path, metavar="DIR", help="Lib/test of CPython, of the interpreter's version")
    parser.add_argument("--server", default="http://127.0.0.1:8000", metavar="URL", help="default: %(default)s")
    parser.add_argument("--image", default="code-executor:latest", help="whose interpreter is the bare one")
    parser.add_argument("--python", default="", metavar="PATH", help="the bare interpreter, for the native engine")
    parser.add_argument("--only", default="*", metavar="GLOBS", help="only cases whose names match")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for each run; default: %(default)s")
    parser.add_argument(
        "--sample", type=int, default=300, help="number of files of TheAlgorithms; default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=1, help="which of them; default: %(default)s")
    parser.add_argument("--results", type=Path, default=KEPT / "results", metavar="DIR", help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
