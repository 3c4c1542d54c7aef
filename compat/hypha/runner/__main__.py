"""`python -m hypha.runner FILE …`."""

import sys

from hypha_cluster.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
