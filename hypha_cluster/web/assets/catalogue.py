"""Which files of which packages the hub serves, and where they are.

Packages are npm's; what Python in the browser imports are wheels, of the Python package index.

The clients are part of the source. What is large is fetched when an image or a wheel is made, or by
`hypha-cluster assets --get`; a hub without it works, and its pages say what is missing.
This module and `fetching` import nothing but the standard library: images are made with them.
"""

from pathlib import Path
from typing import Final, NamedTuple

PREFIX: Final = "/assets"
FOLDER: Final = Path(__file__).parent / "files"


class Package(NamedTuple):
    """One release of an npm package, or a wheel.

    integrity: of its archive, as npm gives it. files: those that are served, by their paths in the
    package; the licence is among them. A wheel is served as it is, with its licence inside.
    """

    name: str
    version: str
    integrity: str
    files: tuple[str, ...]
    purpose: str

    @property
    def is_wheel(self) -> bool:
        return self.files[0].endswith(".whl")

    @property
    def label(self) -> str:
        """By which it is found, in the address too: what is there never changes."""
        return f"{self.name}@{self.version}"


_CLIENT: Final = ("LICENSE", "dist/hypha-rpc-websocket.min.js")
_BOTH: Final = (*_CLIENT, "dist/hypha-rpc-sse.min.js")
_OLDER: Final = "an older JavaScript client, for pages that name it"

# The first of a name is the one that is meant without a version.
PACKAGES: Final = (
    Package(
        "imjoy-rpc",
        "0.5.59",
        "sha512-6eM7MG+A49K7n3rL+F8dQxCZP7YsH3ufNbtJr+EioeSUxHmHTFj1AGtSa/tO895MASXKfqHv1zWAUwr4j/q/2w==",
        _BOTH,
        "the JavaScript client",
    ),
    Package(
        "imjoy-rpc",
        "0.5.44",
        "sha512-H0MaStrtRtz1pdG8moynG9Zd0jfvgWRur1DHP7duYNFitFOaDh20q8J+ehEOusByZcVFtPDtDeYNbA8gy751YA==",
        _BOTH,
        _OLDER,
    ),
    Package(
        "imjoy-rpc",
        "0.5.9",
        "sha512-wjK01PPTboNh4nas2nlxB8PXpSToR6vOFnjBeIJ4LiMU5pRi7VIcTSsvO0WQapxyiFkA1fkm2s9HsZ2D2mHj0Q==",
        _CLIENT,
        _OLDER,
    ),
    Package(
        "swagger-ui-dist",
        "5.35.0",
        "sha512-U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==",
        ("LICENSE", "NOTICE", "swagger-ui-bundle.js", "swagger-ui.css"),
        "Swagger UI, for /api-docs",
    ),
    Package(
        "pyodide",
        "314.0.7",
        "sha512-0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A==",
        (
            "README.md",
            "package.json",
            "pyodide-lock.json",
            "pyodide.asm.mjs",
            "pyodide.asm.wasm",
            "pyodide.js",
            "pyodide.mjs",
            "python_stdlib.zip",
        ),
        "Python in the browser, for the playground; 13 MB",
    ),
    Package(
        "imjoy_rpc",
        "0.5.59",
        "sha512-deTCwJaih8Xva2b/BEcMIJzcayOL7SXrJcp/xCqdhOE36VGBtLFI1ZDRHFRuAScnvT/7RK58ldrYbOcnVVwxlA==",
        ("imjoy_rpc-0.5.59-py3-none-any.whl",),
        "the Python client, for the playground",
    ),
    Package(
        "shortuuid",
        "1.0.13",
        "sha512-QMoH058A+unhu/IbIRMQ/2xmfaGSNA8rYAQ4qf/nCWgEGY5PuE0OjW4/dE80kIkVOHLkYl+8RplHwVZP0YcpBA==",
        ("shortuuid-1.0.13-py3-none-any.whl",),
        "what the Python client imports",
    ),
)


def find(name: str, version: str = "") -> Package | None:
    """A package of the table; by default the release that the hub's own pages use."""
    for package in PACKAGES:
        if package.name == name and version in ("", package.version):
            return package
    return None


def is_there(name: str, version: str = "", folder: Path = FOLDER) -> bool:
    """Whether this hub has all files of a package."""
    package = find(name, version)
    return package is not None and is_complete(package, folder)


def is_complete(package: Package, folder: Path = FOLDER) -> bool:
    return all((folder / package.label / file).is_file() for file in package.files)


def url(name: str, file: str, version: str = "") -> str:
    """The path by which browsers get a file of a package, to put after the root of the hub.

    It is the same on every gateway and in every release of the hub, as long as the version of the
    package is. Ask `is_there` first where the package may be missing.
    """
    package = find(name, version)
    if package is None or file not in package.files:
        raise LookupError(f"The hub serves no {file} of {name} {version}".rstrip())
    return f"{PREFIX}/{package.label}/{file}"


def how_to_get(package: Package) -> str:
    """A sentence for who looks for what is not there."""
    return (
        f"This gateway does not have {package.label}; "
        f"its operator gets it by `hypha-cluster assets --get {package.name}`."
    )
