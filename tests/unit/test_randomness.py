"""Names that nobody can guess are all different, in every thread and process."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

from hypha_cluster.randomness import unguessable


def test_no_name_is_given_twice() -> None:
    with ThreadPoolExecutor(4) as threads:
        names = list(threads.map(lambda _: unguessable(), range(5_000)))

    assert len(set(names)) == 5_000
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)


def test_a_forked_process_has_names_of_its_own() -> None:
    unguessable()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, "".join(unguessable() for _ in range(10)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 320).decode()
    os.close(reading)
    os.close(writing)

    ours = {unguessable() for _ in range(255)}

    assert len(theirs) == 320
    assert not ours & {theirs[at : at + 32] for at in range(0, 320, 32)}
