"""What fuzzing has found worth keeping, once more: `make fuzz` makes millions of it."""

import pytest

from tests.fuzz.targets import CORPUS, TARGETS, corpus_of, measured

FILES = [(name, path.name) for name in TARGETS for path in corpus_of(name)]


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_of_the_corpus_fails(name: str) -> None:
    target = measured(TARGETS[name])

    for path in corpus_of(name):
        try:
            target(path.read_bytes())
        except Exception as error:
            error.add_note(f"It was {path}.")
            raise


def test_every_target_has_a_corpus_of_small_files() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert all(len(corpus_of(name)) >= 5 for name in TARGETS)
    assert all((CORPUS / name / file).stat().st_size <= 4_096 for name, file in FILES)
