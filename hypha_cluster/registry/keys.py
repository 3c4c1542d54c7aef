"""Every key and channel in Redis, with what it holds and when it expires.

A name in braces is a hash tag: all keys and channels of a workspace share one slot of a Redis
Cluster, so that one script can change them together. A key to which no other key leads would never
be found again; so each key is in a listing, or expires.
"""

import re
from functools import lru_cache
from typing import Final

from hypha_cluster.errors import StartupError
from hypha_cluster.protocol.limits import KNOWN_KEYS

DEFAULT_PREFIX: Final = "hypha"
# The field of a client's hash with the holder of its address. It has the name by which gateways of
# the release before know it: in a rolling upgrade both read and write the same hashes.
HOLDER: Final = "owner"
# What follows the prefix: whole names, and what others begin with.
_WHOLE: Final = frozenset(
    (
        *("workspaces", "public", "leases", "suspended", "away"),
        *("first-invitation", "revoked", "secret", "events", "apps"),
    )
)
_BEGINNINGS: Final = (
    *("{", "public:", "user:", "node:", "told:", "role:"),
    *("invitation:", "login:", "sign-in:", "browser:", "attempts:", "tokens:"),
    *("app-ticket:", "app-page:", "app-kept:", "stream:", "used:", "tally:"),
)


@lru_cache(maxsize=KNOWN_KEYS)
def _client(prefix: str, address: str) -> str:
    workspace, _, client = address.partition("/")
    return f"{prefix}:{{{workspace}}}/{client}"


class Keys:
    """Names of keys and channels; `prefix` keeps several clusters apart on one server."""

    def __init__(self, prefix: str = DEFAULT_PREFIX) -> None:
        """Raise StartupError for a prefix that would mix these keys with another cluster's."""
        if any(f"{part}:" in _BEGINNINGS for part in prefix.split(":")[1:]):
            words = ", ".join(word.removesuffix(":") for word in _BEGINNINGS[1:])
            raise StartupError(f"redis_prefix may not have {words} after a ':', as {prefix!r} has")
        self.prefix = prefix

    def workspace(self, workspace: str) -> str:
        """Hash, field of the workspace → JSON. Goes with its last client unless persistent."""
        return f"{self.prefix}:{{{workspace}}}"

    def workspaces(self) -> str:
        """Set of the names of all workspaces, for the listing."""
        return f"{self.prefix}:workspaces"

    def clients(self, workspace: str) -> str:
        """Set of the ids of a workspace's clients."""
        return f"{self.prefix}:{{{workspace}}}:clients"

    def client(self, address: str) -> str:
        """Hash: owner, node, state, until, away_after, patience, user_id, user, since, before.

        `owner` is the holder of the address: which connection, of which gateway. Goes when the
        client leaves for good.
        """
        return _client(self.prefix, address)

    def client_services(self, address: str) -> str:
        """Set of the ids of the services that a client offers."""
        return f"{self.client(address)}:services"

    def client_public(self, address: str) -> str:
        """Set of the ids of the public ones among them."""
        return f"{self.client(address)}:public"

    def unsettled(self, address: str) -> str:
        """Set of the ids of a client's services about which the public listing may be wrong.

        Whoever claims, registers or leaves finds it, and sets the listing right.
        """
        return f"{self.client(address)}:unsettled"

    def departed(self, address: str) -> str:
        """Hash, holder → what is left to do for a client that has left. Goes when that is done.

        The list of its node's clients leads to it, or that of suspended clients.
        """
        return f"{self.client(address)}:departed"

    def mail(self, address: str) -> str:
        """List of frames for a suspended client. Expires with the suspension."""
        return f"{self.client(address)}:mail"

    def mail_size(self, address: str) -> str:
        """Bytes in that list. Expires with it."""
        return f"{self.client(address)}:mail:size"

    def mail_ticket(self, address: str, ticket: str) -> str:
        """What one call has done to a mailbox, should it be sent again. Expires in seconds."""
        return f"{self.client(address)}:mail:{ticket}"

    def left(self, address: str) -> str:
        """Says that the client has left by itself. Expires when that may be forgotten."""
        return f"{self.client(address)}:left"

    def services(self, workspace: str) -> str:
        """Hash, `client:service` → service info as JSON."""
        return f"{self.prefix}:{{{workspace}}}:services"

    def providers(self, workspace: str, service: str = "") -> str:
        """Set of the ids of the clients that offer a service of this name."""
        return f"{self.prefix}:{{{workspace}}}:providers:{service}"

    def public(self, service: str) -> str:
        """Hash, `workspace/client:service` → service info as JSON, of public services so named."""
        return f"{self.prefix}:public:{{{service}}}"

    def public_names(self) -> str:
        """Set of the names of public services, for the listing."""
        return f"{self.prefix}:public"

    def user(self, user: str) -> str:
        """Hash: `identity` → JSON, and each address of the user's clients → its holder.

        Goes with the last client of an anonymous user; others stay known.
        """
        return f"{self.prefix}:user:{user}"

    def leases(self) -> str:
        """Sorted set of nodes by the end of their lease, in ms, until they are cleaned up after."""
        return f"{self.prefix}:leases"

    def node(self, node: str) -> str:
        """The lease of a node. Hash: epoch, about. Expires unless the node renews it."""
        return f"{self.prefix}:node:{node}"

    def pulse(self, node: str) -> str:
        """What a node has measured in the last two minutes, for the hub's page. Expires."""
        return f"{self.prefix}:node:{node}:pulse"

    def role(self, name: str) -> str:
        """The lease on what one gateway does for all. Hash: epoch, about. Expires likewise."""
        return f"{self.prefix}:role:{name}"

    def node_clients(self, node: str) -> str:
        """Set of `address holder` of all clients that may be attached to a node.

        These are to be cleaned up after when the node's lease ends; so also those are in it whose
        departure is not finished.
        """
        return f"{self.prefix}:node:{node}:clients"

    def suspended(self) -> str:
        """Sorted set of addresses by the time, in ms, at which their suspension ends."""
        return f"{self.prefix}:suspended"

    def away(self) -> str:
        """Sorted set of addresses by the time, in ms, from which they count as away."""
        return f"{self.prefix}:away"

    def accounts(self) -> str:
        """Hash: name → account as JSON, with the hash of its password."""
        # No workspace has this tag, since its name would have no colon.
        return f"{self.prefix}:{{:accounts}}"

    def account_names(self) -> str:
        """Hash: e-mail address → name of the account that has it."""
        return f"{self.prefix}:{{:accounts}}:addresses"

    def tokens(self, user: str) -> str:
        """Hash: token id → [name, scopes, made, expires], of those a user made on their page."""
        return f"{self.prefix}:tokens:{user}"

    def invitation(self, digest: str) -> str:
        """What somebody with a secret of this digest may do once, as JSON. Expires in a day."""
        return f"{self.prefix}:invitation:{digest}"

    def login(self, key: str) -> str:
        """Hash: what a program that waits for a login has said, and the token. Expires."""
        return f"{self.prefix}:login:{key}"

    def sign_in(self, state: str) -> str:
        """What a browser has to bring back from an issuer, as JSON. Expires in minutes."""
        return f"{self.prefix}:sign-in:{state}"

    def browser(self, digest: str) -> str:
        """Who has signed in with the cookie of this digest, as JSON. Expires."""
        return f"{self.prefix}:browser:{digest}"

    def stream(self, digest: str) -> str:
        """The address of the client whose event stream has a secret of this digest. Expires."""
        return f"{self.prefix}:stream:{digest}"

    def attempts(self, digest: str) -> str:
        """How often a wrong password was given, for one account or address. Expires."""
        return f"{self.prefix}:attempts:{digest}"

    def used(self, what: str, subject: str) -> str:
        """When somebody may use something again without a debt, in ms. Expires then."""
        return f"{self.prefix}:used:{what}:{subject}"

    def tally(self, what: str, subject: str) -> str:
        """Hash: node → how many of something somebody has there, and when. Expires in seconds."""
        return f"{self.prefix}:tally:{what}:{subject}"

    def first_invitation(self) -> str:
        """The secret of the invitation to be the first admin. Expires with it."""
        return f"{self.prefix}:first-invitation"

    def apps(self, workspace: str) -> str:
        """Hash, app → number of its version, and what is known of that, as JSON."""
        return f"{self.prefix}:{{{workspace}}}:apps"

    def app(self, workspace: str, app: str) -> str:
        """Hash: versions of an app that are kept, and the contents of their files by digest."""
        return f"{self.prefix}:{{{workspace}}}:app:{app}"

    def app_sizes(self, workspace: str) -> str:
        """Hash, app → bytes of its files, of all versions that are kept."""
        return f"{self.prefix}:{{{workspace}}}:app-sizes"

    def app_workspaces(self) -> str:
        """Set of the workspaces that have apps, to remove those of workspaces that have gone."""
        return f"{self.prefix}:apps"

    def app_ticket(self, digest: str) -> str:
        """The version of an app whose files a secret of this digest opens. Expires."""
        return f"{self.prefix}:app-ticket:{digest}"

    def instances(self) -> str:
        """Sorted set of addresses of instances of apps by the time, in ms, to look at them next."""
        return f"{self.prefix}:{{:apps}}"  # all of them in the slot of no workspace

    def runners(self) -> str:
        """Sorted set of runners of apps by the time, in ms, until which they count as there."""
        return f"{self.prefix}:{{:apps}}:runners"

    def free_slots(self) -> str:
        """Hash, runner → how many more instances it would take. Expires when no runner is there."""
        return f"{self.prefix}:{{:apps}}:free"

    def entered_states(self) -> str:
        """Hash, state → how often an instance has come into it, for the metrics. Stays."""
        return f"{self.prefix}:{{:apps}}:entered"

    def taken(self, runner: str) -> str:
        """Hash, name of a call → instances that a runner, or a prober, took by it. Expires."""
        return f"{self.prefix}:{{:apps}}:taken:{runner}"

    def instance(self, address: str = "") -> str:
        """Hash: what an instance of an app is, and who runs it. Goes some time after its end."""
        return f"{self.prefix}:{{:apps}}:instance:{address}"

    def instances_of(self, workspace: str = "") -> str:
        """Set of the client ids of instances in a workspace. Goes with the last."""
        return f"{self.prefix}:{{:apps}}:of:{workspace}"

    def shared_instances(self, workspace: str = "") -> str:
        """Hash, app → client id of the instance that all share. Goes with the last."""
        return f"{self.prefix}:{{:apps}}:shared:{workspace}"

    def ended_instances(self, workspace: str = "") -> str:
        """Sorted set of addresses of instances of a workspace that are over, by when they ended."""
        return f"{self.prefix}:{{:apps}}:ended:{workspace}"

    def probes(self) -> str:
        """Sorted set of addresses of instances by the time, in ms, to probe them next."""
        return f"{self.prefix}:{{:apps}}:probes"

    def instance_history(self, address: str = "") -> str:
        """Stream of what has become of an instance, as instance_history.py reads it. Expires."""
        return f"{self.prefix}:{{:apps}}:history:{address}"

    def watched_instances(self) -> str:
        """Sorted set of addresses of instances by the time, in ms, to stop them if nobody calls."""
        return f"{self.prefix}:{{:apps}}:watched"

    def page(self, address: str = "") -> str:
        """Hash: who the page of an instance is, and how it gets its files. Goes when it is over."""
        return f"{self.prefix}:app-page:{{:apps}}:{address}"  # so that runners have no right to it

    def kept_apps(self) -> str:
        """Sorted set of apps that are kept up, by the time, in ms, to look at them next."""
        return f"{self.prefix}:app-kept:{{:apps}}"

    def kept_app(self, app_id: str = "") -> str:
        """Hash: how an app that is kept up is started. Goes when it is no longer kept up."""
        return f"{self.prefix}:app-kept:{{:apps}}:{app_id}"

    def instance_log(self, address: str, kind: str) -> str:
        """Stream of what an instance has logged. Expires."""
        return f"{self.prefix}:{{:apps}}:log:{kind}:{address}"

    def log_channel(self, address: str) -> str:
        """Channel on which is said that an instance has logged something."""
        return f"{self.prefix}:{{:apps}}:logged:{address}"

    def told(self, what: str) -> str:
        """That a gateway has told its operator something. Expires in seconds."""
        return f"{self.prefix}:told:{what}"

    def revoked(self) -> str:
        """Hash: `token:…`, `user:…` or `workspace:…` → [before, until], and `version`."""
        return f"{self.prefix}:revoked"

    def secret(self) -> str:
        """The signing secret, when none is configured."""
        return f"{self.prefix}:secret"

    def channel(self, address: str) -> str:
        """Channel for the frames of one client."""
        return self.client(address)

    def node_channel(self, node: str) -> str:
        """Channel for frames to a node itself."""
        return f"{self.prefix}:{{{node}}}:node"

    def events(self) -> str:
        """Channel on which nodes tell each other what changed."""
        return f"{self.prefix}:events"

    def everything(self) -> str:
        """Pattern of all keys, for a reset; those of a longer prefix are among them."""
        return re.sub(r"([*?\\\[\]])", r"\\\1", self.prefix) + ":*"

    def owns(self, key: str) -> bool:
        """Whether a key is one of this cluster's."""
        name = key.removeprefix(f"{self.prefix}:")
        return name != key and (name in _WHOLE or name.startswith(_BEGINNINGS))
