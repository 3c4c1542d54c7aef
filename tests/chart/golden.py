"""Writes what the main variants are rendered to: `python -m tests.chart.golden`."""

from pathlib import Path

from tests.chart.rendering import golden_text, variant

FOLDER = Path(__file__).parent / "golden"
NAMES = ("bundled", "nginx", "gateway_api", "single")


def golden_files() -> dict[Path, str]:
    """Every golden file, and what it should hold."""
    return {FOLDER / f"{name}.yaml": golden_text(variant(name)) for name in NAMES}


if __name__ == "__main__":
    for path, text in golden_files().items():
        path.write_text(text, encoding="utf-8")
