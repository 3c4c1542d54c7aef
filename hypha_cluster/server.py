"""`python -m hypha_cluster.server …`, the way the original is started: the same as `serve`."""

import sys

from hypha_cluster.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
