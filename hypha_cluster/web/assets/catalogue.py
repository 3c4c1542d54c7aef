"""Which files of which packages the hub serves, and where they are.

Packages are npm's; what Python in the browser imports are wheels, of the Python package index.

The clients are part of the source. Large packages are fetched when an image or a wheel is made, or
by `hypha-cluster assets --get`; a hub without them works, and its pages say what is missing.
This module and `fetching` import nothing but the standard library: images are made with them.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

PREFIX: Final = "/assets"
FOLDER: Final = Path(__file__).parent / "files"
SWAGGER: Final = "swagger-ui-dist"  # what shows the description of the API


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
        """The name with its version, as in its address; so what is there never changes."""
        return f"{self.name}@{self.version}"


_CLIENT: Final = ("LICENSE", "dist/hypha-rpc-websocket.min.js")
_BOTH: Final = (*_CLIENT, "dist/hypha-rpc-sse.min.js")
_OLDER: Final = "an older JavaScript client, for pages that name it"

# The first entry of a name is the default, where no version is given.
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
    Package(
        "micropip",
        "0.11.1",
        "sha512-IS9Q+vbwflaxI0pkl75Q8ceNn65OTgOZT3XEZMK1EtDJM4aaAtY51BvlfDid2QWEimnE9rfLKX1Z51PfWFgHmw==",
        ("micropip-0.11.1-py3-none-any.whl",),
        "what apps in Python install their requirements with",
    ),
    Package(
        "fastapi",
        "0.70.0",
        "sha512-6/z1BawY+53SMfRNvI4yTNTMK0FFfLzTxZlVqgndKMgXNjKBgtJcqX+rNO3zwOFk6n2z2qhqDWDgqGg8bjVRZg==",
        ("fastapi-0.70.0-py3-none-any.whl",),
        "FastAPI for apps in Python, of the last releases that need no compiled part",
    ),
    Package(
        "starlette",
        "0.16.0",
        "sha512-0dbr98N13poyOEyBzsOD6e8BgTmU6CubLFP7pPWYjqrqerwSqLfWAYZi2UBazFeZu+4Gw7ufzmm5j+7HMJvA5Q==",
        ("starlette-0.16.0-py3-none-any.whl",),
        "what FastAPI imports",
    ),
    Package(
        "pydantic",
        "1.10.27",
        "sha512-Xd5g6PbDer/ZOdgTFgEnunaVxcQ0CS1yPAppty+xeoxuoxfZDkHWMfWLbhran9oShBNAZK1C1VKOHAz2TwcDtg==",
        ("pydantic-1.10.27-py3-none-any.whl",),
        "what FastAPI imports",
    ),
    Package(
        "anyio",
        "3.7.1",
        "sha512-98lF/BXsEwbwKLKQihzg2i+fORkaQmpZqXwjX2VqK19AXX/BrhKrdZguoBw3fEadcGXTH85mrkrSLTr6FtZ3zw==",
        ("anyio-3.7.1-py3-none-any.whl",),
        "what FastAPI imports",
    ),
    Package(
        "idna",
        "3.20",
        "sha512-jxSHzOA8m7t0+rv8PhRDZMDwK53hP+7mZqf8Zh5BqABiQWHAyC6QxDIRLuIjfFq7lz1Zn3opctE8DCwrIctJiA==",
        ("idna-3.20-py3-none-any.whl",),
        "what FastAPI imports",
    ),
    Package(
        "sniffio",
        "1.3.1",
        "sha512-+OWcIzBx9WKJ4Yj9xT9ajzEthpjv4VsKDzPxo/ajaga6ToDKE/WFp6FerU2NV4VRVHuaCsUAjL7cFNJ7HrgOGw==",
        ("sniffio-1.3.1-py3-none-any.whl",),
        "what FastAPI imports",
    ),
    Package(
        "typing_extensions",
        "4.16.0",
        "sha512-HA/eEyEk1rbSgGSnZC7HxnxwIO7/QkhRcpQAgNLzySby08ZkmQ0ZTAicPV2e6HUL3gxleS/HugiZFUn5SKBXFg==",
        ("typing_extensions-4.16.0-py3-none-any.whl",),
        "what FastAPI imports",
    ),
)


def find(name: str, version: str = "") -> Package | None:
    """A package of the table; by default the release that the hub's own pages use."""
    for package in PACKAGES:
        if package.name == name and version in ("", package.version):
            return package
    return None


def wheels(project: str, folder: Path = FOLDER) -> list[Package]:
    """The wheels of a project of Python's that this hub has."""
    return [
        package
        for package in PACKAGES
        if package.is_wheel and project_name(package.name) == project_name(project)
        if is_complete(package, folder)
    ]


def project_name(name: str) -> str:
    """As the Python package index compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


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
    """A sentence for whoever looks for a package that is missing."""
    return (
        f"This gateway does not have {package.label}; "
        f"its operator gets it by `hypha-cluster assets --get {package.name}`."
    )
