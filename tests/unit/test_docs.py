import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hypha_cluster
from docs import generate
from hypha_cluster.hub_settings import HubSettings

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def blocks(language: str) -> list[str]:
    texts = (page.read_text(encoding="utf-8") for page in PAGES)
    pattern = rf"^```{language}\n(.*?)^```$"
    return [
        found for text in texts for found in re.findall(pattern, text, re.DOTALL | re.MULTILINE)
    ]


@pytest.mark.parametrize("path", generate.pages(), ids=lambda path: path.name)
def test_a_generated_page_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.pages()[path], "run `make format`"


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\S+)\]", changelog, re.MULTILINE)
    label = re.search(r'image\.version="(\S+)"', dockerfile)

    assert newest
    assert label
    assert project["version"] == hypha_cluster.__version__ == newest[1] == label[1]


def test_the_ci_runs_the_tests_as_the_readme_does() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    develop = README.read_text(encoding="utf-8").partition("## Develop")[2]
    command = re.search(r"^```sh\n(.*)\n```$", develop, re.MULTILINE)

    assert command
    assert command[1] in [line.removeprefix("twice ") for line in script]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))

    missing = [
        link for link in links if "://" not in link and not (page.parent / link).resolve().exists()
    ]

    assert not missing


def test_python_examples_are_python() -> None:
    for text in blocks("python"):
        compile(text, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_commands_have_settings_that_exist() -> None:
    lines = [line for text in blocks("sh") for line in text.splitlines()]
    commands = [line.partition("hypha-cluster serve")[2] for line in lines if "serve" in line]

    for flags in commands:
        HubSettings.load(shlex.split(flags), {})

    assert len(commands) > 3


def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    pages = [page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")]
    fetched = [
        found
        for text in pages
        for found in re.findall(r'<(?:script|link|img)[^>]+"(?:https?:)?//[^>]+', text)
    ]

    assert done.returncode == 0, done.stderr
    assert len(pages) > 10
    assert fetched == []
