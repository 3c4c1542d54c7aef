"""One target under atheris: `python -m tests.fuzz.one NAME FOLDER` and what libFuzzer takes.

An input that fails is put into FOLDER as well, for libFuzzer does not always get to that.
"""

import hashlib
import logging
import sys
from pathlib import Path

import atheris


def main() -> None:
    name, folder = sys.argv.pop(1), Path(sys.argv.pop(1))
    logging.disable()  # each refusal is a line
    with atheris.instrument_imports(include=["hypha_cluster"]):
        from tests.fuzz.targets import TARGETS, measured
    target = measured(TARGETS[name])

    def keeping(data: bytes) -> None:
        try:
            target(data)
        except BaseException:
            digest = hashlib.sha256(data).hexdigest()[:16]
            (folder / f"{name}-failed-{digest}").write_bytes(data)
            raise

    atheris.Setup(sys.argv, keeping)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
