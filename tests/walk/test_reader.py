"""Whoever follows a page notices where it does not hold."""

from pathlib import Path

import pytest

from tests.gateways import SECOND
from tests.walk.walk import Reader, steps

PAGE = """\
Save this as `greet.sh`:

```sh-file
echo "Hello $1"
```

In the folder of the repository:

```sh
mkdir -p inner && cd inner
```

```sh
bash ../greet.sh John
```

```text
Hello …hn
```

Start it, and leave it running:

```sh
echo started; exec sleep 60
```

```text
started
```

Stop `sleep` with Ctrl-C.

```sh
basename $PWD
```

```text
inner
```
"""


def follow(page: str, folder: Path, patience: float = 30 * SECOND) -> None:
    reader = Reader(folder, patience=patience)
    try:
        for step in steps(page):
            reader.follow(step)
    finally:
        reader.stop()


def test_a_page_that_holds_is_followed_to_its_end(tmp_path: Path) -> None:
    follow(PAGE, tmp_path)

    assert (tmp_path / "inner").is_dir()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Hello …hn", "Hello …hm"),
        ("bash ../greet.sh", "bash ../great.sh"),
        ("echo started", "echo stared"),
        ("Stop `sleep`", "Stop `slept`"),
    ],
)
def test_a_page_that_does_not_hold_is_noticed(tmp_path: Path, right: str, wrong: str) -> None:
    with pytest.raises(AssertionError):
        follow(PAGE.replace(right, wrong), tmp_path, patience=0.5)
