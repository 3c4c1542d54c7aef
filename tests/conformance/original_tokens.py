"""Tokens as `hypha` 0.15.53 itself makes and reads them; runs in an environment with it.

JWT_SECRET is in the environment. Argument: a token. Prints what it speaks for as JSON, and a token
that the original makes for somebody called john.
"""

import json
import sys
from importlib import import_module

core, auth = import_module("hypha.core"), import_module("hypha.core.auth")

user = auth.parse_token(sys.argv[1])
john = core.UserInfo(
    id="john",
    is_anonymous=False,
    email="john@example.org",
    parent=None,
    roles=[],
    scopes=[],
    expires_at=None,
)
config = core.TokenConfig(
    scopes=["lab"], expires_in=600, email="john@example.org", parent_client=None
)
made = auth.generate_presigned_token(john, config, child=False)
sys.stdout.write(json.dumps({"user": json.loads(user.json()), "token": made}) + "\n")
