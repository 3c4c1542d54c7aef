"""`hypha-cluster` with glibc's own thresholds, to measure what ours are worth."""

from hypha_cluster.__main__ import main
from hypha_cluster.serving import gateway

if __name__ == "__main__":
    vars(gateway).update(keep_freed_memory=lambda: None)
    main()
