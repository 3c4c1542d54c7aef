"""Who a caller is and what they may do: identities, workspaces and their rules."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from hypha_cluster.errors import BadRequest

MANAGER = "workspace-manager"
PUBLIC = "public"
_ADMIN = "admin"
# What the protocol, the keys in Redis and the listings use as separators may be in no name.
# Nor may control characters, which a terminal that shows a log would obey.
_WORKSPACE_NAME = re.compile(
    r"[^\s/:*{}~?#%&\x00-\x1f\x7f-\x9f][^\s/:*{}?#%&\x00-\x1f\x7f-\x9f]{0,255}"
)
_CLIENT_ID = _WORKSPACE_NAME
_SERVICE_ID = re.compile(
    r"[^\s/:*{}\x00-\x1f\x7f-\x9f][^/:*{}\x00-\x1f\x7f-\x9f\u2028\u2029]{0,255}"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for, or an anonymous user (PROTOCOL 7.2)."""

    id: str
    is_anonymous: bool = True
    email: str | None = None
    roles: tuple[str, ...] = ()
    parent: str | None = None
    scopes: tuple[str, ...] = ()
    expires_at: float | None = None

    @property
    def is_child(self) -> bool:
        """Whether another user made the token; the hub's own children are not narrowed."""
        return self.parent not in (None, "root")

    @property
    def is_admin(self) -> bool:
        """Whether they are an admin of the whole cluster."""
        return _ADMIN in self.roles and not self.is_child

    def is_admin_in(self, workspace: str) -> bool:
        """Whether they are an admin of a workspace; a child is only where its token is for."""
        return _ADMIN in self.roles and (not self.is_child or workspace in self.scopes)

    def seen_in(self, workspace: str) -> Self:
        """Who they are to the services of a workspace, which may trust the roles of a caller."""
        if _ADMIN not in self.roles or self.is_admin_in(workspace):
            return self
        return replace(self, roles=tuple(role for role in self.roles if role != _ADMIN))

    def to_wire(self) -> dict[str, Any]:
        """The user dict that clients see in a context."""
        return {
            "id": self.id,
            "roles": list(self.roles),
            "is_anonymous": self.is_anonymous,
            "email": self.email,
            "parent": self.parent,
            "scopes": list(self.scopes),
            "expires_at": self.expires_at,
        }

    @classmethod
    def from_wire(cls, user: Mapping[str, Any]) -> Self:
        return cls(
            id=user["id"],
            is_anonymous=user["is_anonymous"],
            email=user["email"],
            roles=tuple(user["roles"]),
            parent=user["parent"],
            scopes=tuple(user["scopes"]),
            expires_at=user["expires_at"],
        )


ROOT = Identity("root", is_anonymous=False)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A space of clients and services, with its rules (PROTOCOL 6.1)."""

    name: str
    owners: list[str] = field(default_factory=list)
    visibility: str = "protected"
    persistent: bool = False
    read_only: bool = False
    description: str | None = None
    icon: str | None = None
    covers: list[str] | None = None
    docs: str | None = None
    allow_list: list[str] | None = None
    deny_list: list[str] | None = None
    applications: dict[str, Any] = field(default_factory=dict)
    interfaces: dict[str, Any] = field(default_factory=dict)

    def to_wire(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_wire(cls, config: Mapping[str, Any]) -> Self:
        """Make one of its fields; an unknown one, or one of another type, is an error."""
        unknown = config.keys() - _WORKSPACE_FIELDS.keys()
        if unknown:
            raise BadRequest(
                f"A workspace has no {', '.join(sorted(map(repr, unknown)))}; "
                f"it has {', '.join(_WORKSPACE_FIELDS)}."
            )
        if "name" not in config:
            raise BadRequest("A workspace needs a name.")
        for key, value in config.items():
            if not isinstance(value, _WORKSPACE_FIELDS[key]):
                raise BadRequest(f"{key!r} of a workspace cannot be {value!r}.")
        workspace = cls(**config)
        if workspace.visibility not in ("public", "protected"):
            raise BadRequest(
                f"visibility is 'public' or 'protected', not {workspace.visibility!r}."
            )
        return workspace


_OPTIONAL_TEXT = (str, type(None))
_OPTIONAL_LIST = (list, type(None))
_WORKSPACE_FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "owners": list,
    "visibility": str,
    "persistent": bool,
    "read_only": bool,
    "description": _OPTIONAL_TEXT,
    "icon": _OPTIONAL_TEXT,
    "covers": _OPTIONAL_LIST,
    "docs": (str, dict, type(None)),
    "allow_list": _OPTIONAL_LIST,
    "deny_list": _OPTIONAL_LIST,
    "applications": dict,
    "interfaces": dict,
}
assert _WORKSPACE_FIELDS.keys() == {f.name for f in fields(Workspace)}


def own_workspace(identity: Identity) -> Workspace:
    """The workspace that a user has without asking for one; it is named after them."""
    lasting = not identity.is_anonymous and "temporary" not in identity.roles
    return Workspace(
        name=identity.id,
        owners=[identity.id],
        persistent=lasting,
        read_only=identity.is_anonymous,
    )


def may_enter(identity: Identity, workspace: Workspace, parent: Identity | None = None) -> bool:
    """Say whether a user may join, and act in, a workspace (PROTOCOL 7.4, first match wins).

    parent: the user who generated this one's token, None when the hub no longer knows them.
    A child may enter only what its parent may, whatever email its token names.
    """
    if ROOT.id in (identity.id, identity.parent) or workspace.name == identity.id:
        return True
    if identity.parent is not None:
        if parent is None or not may_enter(parent, workspace):
            return False
        if workspace.name in identity.scopes:
            return True
    return _is_welcome(identity, workspace)


def _is_welcome(identity: Identity, workspace: Workspace) -> bool:
    if owns(identity, workspace):
        return True
    name = identity.email or identity.id
    if workspace.visibility == "public":
        # Its public *services* are for everybody; to let everybody in is to name whom it denies.
        denied = workspace.deny_list or []
        return bool(denied) and name not in denied
    return name in (workspace.allow_list or ())


def owns(identity: Identity, workspace: Workspace) -> bool:
    """Say whether a workspace is a user's own; a child of an owner's acts where its scopes say."""
    if identity.is_admin_in(workspace.name) or _is_among_owners(identity, workspace):
        return True
    is_child = identity.parent is not None and identity.parent in workspace.owners
    return is_child and workspace.name in identity.scopes


def _is_among_owners(identity: Identity, workspace: Workspace) -> bool:
    names = (identity.id,) if identity.email is None else (identity.id, identity.email)
    return any(name in workspace.owners for name in names)


def may_hand_on(identity: Identity, workspace: Workspace) -> bool:
    """Say whether somebody who may enter a workspace may let others in, by a token for it.

    A child may do so where its own token is for, and in what is its own. What it makes counts as
    a child of its own maker: anywhere else that one may be an owner, and the new child would be.
    """
    if not identity.is_child or workspace.name in (*identity.scopes, identity.id):
        return True
    return _is_among_owners(identity, workspace)


def may_oversee(identity: Identity) -> bool:
    """Say whether a user may see what all the others do."""
    return identity.id == ROOT.id or identity.is_admin


def check_workspace_name(name: str) -> None:
    if not _WORKSPACE_NAME.fullmatch(name):
        raise BadRequest(f"{name!r} cannot be a workspace name: {_NAME_RULE}")


def check_client_id(client_id: str) -> None:
    if client_id == MANAGER or not _CLIENT_ID.fullmatch(client_id):
        raise BadRequest(f"{client_id!r} cannot be a client id: {_NAME_RULE}")


def check_service_id(service_id: str) -> None:
    if not _SERVICE_ID.fullmatch(service_id):
        raise BadRequest(f"{service_id!r} cannot be a service id: {_NAME_RULE}")


_NAME_RULE = "use 1 to 256 characters, none of them white space or any of / : * { } ? # % & ~."
