"""The command line: `python -m benchmarks`, or `make bench`."""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.accounting import server_and_client_cores
from benchmarks.cases import CASES, CPU, ORIGINAL, OURS, Case
from benchmarks.deployments import SUBJECTS, Deployment
from benchmarks.measure import LoadFailed, Plan, Result, compare, run_once
from benchmarks.plots import plot
from benchmarks.report import Report, about

QUICK = {"runs": 1, "seconds": 1.0, "warm_up": 0.3}
THOROUGH = {"runs": 3, "seconds": 5.0, "warm_up": 1.0}
FOR_THE_PAGE = {"runs": 3, "seconds": 1.3, "warm_up": 0.3}
# The original takes minutes for each of these.
TOO_LONG_FOR_THE_PAGE = {"fan-out-500", "growth-1000"}
GIVEN = "given"


def main(words: list[str] | None = None) -> None:
    options = _parser().parse_args(words)
    plan = _plan(options)
    command = "python -m benchmarks " + " ".join(sys.argv[1:] if words is None else words)
    started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    report = Report([], about(started, plan, command.strip()))
    for result in _results(options, plan):
        report.results.append(result)
        _say(_line(result))
        report.write(options.out)
    report.write(options.out)
    _say(f"Plots: {', '.join(plot(report, options.out)) or 'none'}.")
    _say(f"Written to {options.out}/benchmarks.md and benchmarks.json.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what the hub costs, beside the single-process original.",
    )
    parser.add_argument("--only", action="append", metavar="CASE", help="may be repeated")
    skip = "all but this case; may be repeated"
    parser.add_argument("--skip", action="append", default=[], metavar="CASE", help=skip)
    parser.add_argument(
        "--nodes", type=int, help="only what is measured with this number of gateways"
    )
    which = "only this server; may be repeated"
    parser.add_argument("--subject", action="append", choices=sorted(SUBJECTS), help=which)
    parser.add_argument("--quick", action="store_true", help="one short run of each case")
    parser.add_argument(
        "--for-page",
        action="store_true",
        help="short runs, a quarter of an hour; several gateways of the original only where a "
        "limit needs them",
    )
    parser.add_argument("--runs", type=int, help=f"runs of each case ({THOROUGH['runs']})")
    parser.add_argument("--seconds", type=float, help=f"length of a run ({THOROUGH['seconds']})")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmark-results"), help="folder for the results"
    )
    parser.add_argument("--list", action=_List, nargs=0, help="list the cases, and end")
    given = parser.add_argument_group("to measure a server that runs already")
    given.add_argument("--url", action="append", help="of a gateway; once for each")
    given.add_argument(
        "--pid", action="append", type=int, default=[], help="of a gateway; repeatable"
    )
    given.add_argument("--redis-pid", action="append", type=int, default=[], help="of its Redis")
    return parser


class _List(argparse.Action):
    """Prints the cases and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        for case in CASES:
            _say(f"{case.name:20} {case.scenario:24} gateways: {', '.join(map(str, case.nodes))}")
        parser.exit()


def _plan(options: argparse.Namespace) -> Plan:
    base = QUICK if options.quick else FOR_THE_PAGE if options.for_page else THOROUGH
    server_cores, client_cores = server_and_client_cores()
    return Plan(
        runs=options.runs or int(base["runs"]),
        seconds=options.seconds or base["seconds"],
        warm_up=base["warm_up"],
        server_cores=server_cores,
        client_cores=client_cores,
    )


def _results(options: argparse.Namespace, plan: Plan) -> Iterator[Result]:
    for case in _cases(options):
        if options.url:
            yield _measure_given(case, options, plan)
            continue
        for nodes in case.nodes:
            if options.nodes in (None, nodes):
                yield from compare(case, nodes, _subjects(case, nodes, options), plan)


def _cases(options: argparse.Namespace) -> list[Case]:
    names = {case.name for case in CASES}
    unknown = {*(options.only or []), *options.skip} - names
    if unknown:
        sys.exit(f"No such case: {', '.join(sorted(unknown))}. Try --list.")
    wanted = set(options.only or names) - set(options.skip)
    return [case for case in CASES if case.name in wanted]


def _subjects(case: Case, nodes: int, options: argparse.Namespace) -> list[str]:
    wanted = set(options.subject or case.subjects)
    if options.for_page and nodes > 1 and nodes not in case.limits:
        wanted &= {OURS}
    elif options.for_page and case.name in TOO_LONG_FOR_THE_PAGE:
        wanted -= {ORIGINAL}
    return [name for name in case.subjects if name in wanted]


def _measure_given(case: Case, options: argparse.Namespace, plan: Plan) -> Result:
    given = Deployment(options.url, options.pid, options.redis_pid)
    try:
        runs = [run_once(case, given, plan) for _ in range(plan.runs)]
    except LoadFailed as error:
        return Result(case.name, GIVEN, len(given.urls), [], str(error))
    return Result(case.name, GIVEN, len(given.urls), runs)


def _line(result: Result) -> str:
    where = f"{result.case:18} {result.subject:9} ×{result.nodes}"
    if result.error:
        return f"{where}  failed: {result.error.strip().splitlines()[-1]}"
    median = result.median
    shown = f"{where} {median['per_second']:9.0f}/s {median[CPU]:9.3f} ms CPU"
    return shown + (
        f"  p50 {median['p50']:.2f} ms  p99 {median['p99']:.2f} ms" if "p50" in median else ""
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
