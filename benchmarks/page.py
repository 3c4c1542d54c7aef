"""The figures in docs/performance.md, from a report: `python -m benchmarks.page [DIRECTORY]`."""

import sys
from pathlib import Path

from benchmarks.plots import plot
from benchmarks.report import Report, introduction

DOCS = Path(__file__).parent.parent / "docs"
BEGIN = "<!-- From here to the next mark: written by `make bench-page`. -->"
END = "<!-- End of what `make bench-page` writes. -->"
CAPTIONS = {
    "performance-ratios.svg": "How many times less CPU than the original an operation costs.",
    "performance-growth.svg": "CPU of a gateway for a call, by the number of its clients.",
}


def write_page(report: Report, page: Path) -> None:
    """Put plots and tables between the marks of a page."""
    plots = plot(report, page.parent, prefix="performance-")
    head, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} lacks the marks between which figures are written.")
    figures = "\n\n".join(["", introduction(report.about), *_pictures(plots), *_sections(report)])
    page.write_text(f"{head}{BEGIN}{figures}\n\n{END}{tail}", encoding="utf-8")


def _pictures(plots: list[str]) -> list[str]:
    return [f"![{CAPTIONS[name]}]({name})" for name in plots]


def _sections(report: Report) -> list[str]:
    return [text for name, table in report.tables() for text in (f"### {name}", table)]


def main() -> None:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("benchmark-results")
    write_page(Report.read(directory), DOCS / "performance.md")
    sys.stdout.write(f"Written to {DOCS / 'performance.md'}.\n")


if __name__ == "__main__":
    main()
