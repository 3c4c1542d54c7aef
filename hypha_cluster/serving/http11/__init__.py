"""HTTP/1.1 and WebSockets on llhttp, in front of Hypercorn; README.md says why and how.

Others import only the names below; everything else is internal.
"""

from hypha_cluster.serving.http11.server import install, uninstall
from hypha_cluster.serving.http11.websocket_connection import Timeouts
from hypha_cluster.serving.http11.websocket_upgrade import EXTENSION, end_outliving

__all__ = ["EXTENSION", "Timeouts", "end_outliving", "install", "uninstall"]
