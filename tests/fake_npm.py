"""A stand-in for npm, which packs what a test gives it."""

import base64
import hashlib
import io
import tarfile
from pathlib import Path

SCRIPT = '#!/bin/sh\nif [ -f "{archive}" ]; then cp "{archive}" .; else echo gone >&2; exit 1; fi\n'


class FakeNpm:
    """A program `npm` in a folder of its own, whose `pack` answers one archive."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bin"
        self.archive = folder / "packed.tgz"
        self.path.mkdir()
        program = self.path / "npm"
        program.write_text(SCRIPT.format(archive=self.archive))
        program.chmod(0o755)

    def pack(self, **files: str) -> str:
        """Make the archive; answer its integrity. A name's `__` stands for a slash, `_` a dot."""
        with tarfile.open(self.archive, "w:gz") as archive:
            for name, text in files.items():
                path = name.replace("__", "/").replace("_", ".")
                entry = tarfile.TarInfo(f"package/{path}")
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        digest = hashlib.sha512(self.archive.read_bytes()).digest()
        return f"sha512-{base64.b64encode(digest).decode()}"
