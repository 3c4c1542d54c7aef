"""Takes files out of packages, and puts them where the hub serves them from.

`python -m hypha_cluster.web.assets.fetching [NAME…]` does so for images and wheels. npm and pip
fetch the archive from wherever they are configured to; its hash has to be that of the catalogue.
"""

import base64
import hashlib
import hmac
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hypha_cluster.web.assets.catalogue import FOLDER, PACKAGES, Package, is_complete

# What Pyodide runs, not what this machine does.
_PURE: Final = (
    *("--only-binary", ":all:", "--platform", "any"),
    *("--python-version", "3.14", "--implementation", "py", "--abi", "none"),
)
PATIENCE: Final = 300.0  # seconds for one archive; the largest has 6 MB


class FetchFailed(Exception):
    """A package cannot be had; the text says what would help."""


def wanted(names: Sequence[str]) -> list[Package]:
    """The packages of these names, or all of them; FetchFailed names what is none."""
    known = {package.name for package in PACKAGES}
    if unknown := sorted(set(names) - known):
        raise FetchFailed(
            f"there is no package {unknown[0]!r}; there are {', '.join(sorted(known))}"
        )
    return [package for package in PACKAGES if not names or package.name in names]


def fetch(package: Package, folder: Path = FOLDER) -> None:
    """Put the files of a package in their place, all of them or none."""
    command = _command(package)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as place:
            unfinished = Path(place) / package.label
            _unpack(_download(command, package, Path(place)), package, unfinished)
            there = folder / package.label
            shutil.rmtree(there, ignore_errors=True)
            unfinished.rename(there)
    except OSError as error:
        raise FetchFailed(f"{folder} cannot be written: {error}") from None


def _command(package: Package) -> list[str]:
    """What fetches the archive of a package into the folder that it runs in."""
    tool, from_where = ("pip", "pip") if package.is_wheel else ("npm", "Node.js")
    program = shutil.which(tool)
    if program is None:
        raise FetchFailed(f"{tool} is missing, which fetches {package.label}; install {from_where}")
    if not package.is_wheel:
        return [program, "pack", "--silent", package.label]
    release = f"{package.name}=={package.version}"
    return [program, "download", "--quiet", "--no-deps", *_PURE, release]


def _download(command: list[str], package: Package, place: Path) -> Path:
    tool = Path(command[0]).name
    try:
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise FetchFailed(f"{tool} took more than {PATIENCE:g} s for {package.label}") from None
    archives = list(place.glob("*.whl" if package.is_wheel else "*.tgz"))
    if done.returncode or len(archives) != 1:
        reason = done.stderr.strip() or "it said nothing"
        raise FetchFailed(f"{tool} did not get {package.label}: {reason}")
    found = _integrity(archives[0])
    if not hmac.compare_digest(found, package.integrity):
        raise FetchFailed(
            f"the archive of {package.label} is not the one that this hub was made with: "
            f"{found} instead of {package.integrity}"
        )
    return archives[0]


def _integrity(archive: Path) -> str:
    digest = hashlib.sha512(archive.read_bytes()).digest()
    return f"sha512-{base64.b64encode(digest).decode()}"


def _unpack(archive: Path, package: Package, target: Path) -> None:
    if package.is_wheel:
        target.mkdir()
        shutil.copyfile(archive, target / package.files[0])
        return
    with tarfile.open(archive) as content:
        for file in package.files:
            try:
                source = content.extractfile(f"package/{file}")
            except KeyError:
                source = None
            if source is None:
                raise FetchFailed(f"{package.label} has no file {file}")
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            (target / file).write_bytes(source.read())


def main() -> None:
    try:
        for package in wanted(sys.argv[1:]):
            if not is_complete(package):
                fetch(package)
            sys.stdout.write(f"{package.label}\n")
    except FetchFailed as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
