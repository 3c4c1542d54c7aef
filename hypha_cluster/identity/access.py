"""Who a caller is and what they may do: identities, workspaces and their rules."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum, IntEnum, StrEnum
from typing import Any, Final, NamedTuple, Self

from hypha_cluster.errors import BadRequest
from hypha_cluster.protocol.guard import shown

PUBLIC = "public"
_ADMIN = "admin"


class Guests(StrEnum):
    """What users without a token may do."""

    ON = "on"  # as users with a token may
    CALL_ONLY = "call-only"  # call what is public, and log in
    OFF = "off"  # log in


class Origin(NamedTuple):
    """The token that somebody came with, so that it can be revoked.

    token: its id. made_at: when it was made (Unix time), 0 if it does not say. makers: the ids of
    the tokens that it was made with, one with the other.
    """

    token: str
    made_at: float
    makers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for, or an anonymous user (protocol.md 7.2).

    origin: None for whoever came without a token, or is known by name only. guest: what they may
    do, if they came without a token.
    """

    id: str
    is_anonymous: bool = True
    email: str | None = None
    roles: tuple[str, ...] = ()
    parent: str | None = None
    scopes: tuple[str, ...] = ()
    expires_at: float | None = None
    origin: Origin | None = field(default=None, compare=False, repr=False)
    guest: Guests = field(default=Guests.ON, compare=False, repr=False)

    @property
    def is_child(self) -> bool:
        """Whether another user, and not the hub itself, made the token; so it may do less."""
        return self.parent not in (None, "root")

    @property
    def family(self) -> str:
        """The id of the user who made the token, or the user's own: so both are of one family."""
        return self.parent if self.parent and self.is_child else self.id

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
    def from_wire(cls, user: Mapping[str, Any], origin: Origin | None = None) -> Self:
        return cls(
            origin=origin,
            id=user["id"],
            is_anonymous=user["is_anonymous"],
            email=user["email"],
            roles=tuple(user["roles"]),
            parent=user["parent"],
            scopes=tuple(user["scopes"]),
            expires_at=user["expires_at"],
        )


ROOT = Identity("root", is_anonymous=False)
# Whose programs the operator has the hub run. No user can be called so.
STARTUP: Final = "~startup-functions"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A space of clients and services, with its rules (protocol.md 6.1)."""

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
                raise BadRequest(f"{shown(key)} of a workspace cannot be {shown(value)}.")
        workspace = cls(**config)
        if workspace.visibility not in ("public", "protected"):
            raise BadRequest(
                f"visibility is 'public' or 'protected', not {shown(workspace.visibility)}."
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


class Standing(IntEnum):
    """What somebody is to a workspace; each may do what those before it may."""

    STRANGER = 0
    MEMBER = 1
    OWNER = 2
    ADMIN = 3


class Case(NamedTuple):
    """Who wants something of which workspace. maker: who made their token, None if not known."""

    user: Identity
    workspace: Workspace
    maker: Identity | None


class Rule(NamedTuple):
    """Who has which standing. `who` completes "Somebody is …, who …" in docs/security.md."""

    who: str
    applies: Callable[[Case], bool]
    standing: Standing


def _maker_stays_out(case: Case) -> bool:
    if not case.user.is_child:
        return False
    return case.maker is None or not may_enter(case.maker, case.workspace)


def _is_startup_function(case: Case) -> bool:
    return case.user.id == STARTUP and case.workspace.name == PUBLIC


def _is_scope(case: Case) -> bool:
    return case.user.is_child and case.workspace.name in case.user.scopes


def _owns_by_maker(case: Case) -> bool:
    if case.maker is None or not _is_scope(case):
        return False
    return _is_on(case.workspace.owners, case.maker)


def _is_owner(case: Case) -> bool:
    return _is_on(case.workspace.owners, case.user)


def _is_on(names: list[str] | None, user: Identity) -> bool:
    """Lists of users name them by id or by e-mail address."""
    if not names:
        return False
    return user.id in names or (user.email is not None and user.email in names)


def _is_allowed(case: Case) -> bool:
    return case.workspace.visibility != "public" and _is_on(case.workspace.allow_list, case.user)


def _is_not_denied(case: Case) -> bool:
    """Whether a public workspace lets them in: it lets everybody in only if it denies some.

    Its public *services* are for everybody in any case.
    """
    denied = case.workspace.deny_list
    return case.workspace.visibility == "public" and bool(denied) and not _is_on(denied, case.user)


# The first that applies decides (protocol.md 7.4).
RULES: Final = (
    Rule(
        "is the hub itself, or has a token that it made for itself",
        lambda case: ROOT.id in (case.user.id, case.user.parent),
        Standing.ADMIN,
    ),
    Rule(
        "has the role `admin`, by a token that no other user made",
        lambda case: case.user.is_admin,
        Standing.ADMIN,
    ),
    Rule("is a startup function, in `public`", _is_startup_function, Standing.OWNER),
    Rule(
        "is one of its owners, and has its name for an id",
        lambda case: case.workspace.name == case.user.id and _is_owner(case),
        Standing.OWNER,
    ),
    Rule(
        "has a token of a user whom the hub does not know, or who may not enter it",
        _maker_stays_out,
        Standing.STRANGER,
    ),
    Rule(
        "is one of its owners, by id or e-mail address",
        _is_owner,
        Standing.OWNER,
    ),
    Rule(
        "has a token that names it in `scopes`, from one of its owners",
        _owns_by_maker,
        Standing.OWNER,
    ),
    Rule(
        "has a token that names it in `scopes`, and the role `admin` from its maker",
        lambda case: case.user.is_admin_in(case.workspace.name),
        Standing.OWNER,
    ),
    Rule("has a token that names it in `scopes`", _is_scope, Standing.MEMBER),
    Rule("is on the `allow_list` of a protected one", _is_allowed, Standing.MEMBER),
    Rule(
        "is not on the `deny_list` of a public one, which is not empty",
        _is_not_denied,
        Standing.MEMBER,
    ),
    Rule("is anybody else", lambda case: True, Standing.STRANGER),
)


class Action(Enum):
    """What one may want of a workspace, as docs/security.md says it."""

    USE_PUBLIC = "list, look at and call its public services"
    USE_PROTECTED = "list, look at and call its protected services"
    ENTER = "connect to it, and offer services in it"
    LOOK = "read its settings, its clients and its summary"
    LET_IN = "make tokens for it"
    INSTALL = "install and remove applications in it"
    CHANGE = "change its settings, or overwrite it"
    OVERSEE = "see the whole cluster (`/api/stats`), write any e-mail address into a token"


LEAST: Final = {
    Action.USE_PUBLIC: Standing.STRANGER,
    Action.USE_PROTECTED: Standing.MEMBER,
    Action.ENTER: Standing.MEMBER,
    Action.LOOK: Standing.MEMBER,
    Action.LET_IN: Standing.MEMBER,
    Action.INSTALL: Standing.MEMBER,
    Action.CHANGE: Standing.OWNER,
    Action.OVERSEE: Standing.ADMIN,
}


def standing_of(
    identity: Identity, workspace: Workspace, maker: Identity | None = None
) -> Standing:
    """What somebody is to a workspace.

    maker: the user who made this one's token, None when the hub does not know them any more. A
    child may do only what its maker may, whatever e-mail address its token names.
    """
    case = Case(identity, workspace, maker)
    for rule in RULES:
        if rule.applies(case):
            return rule.standing
    raise AssertionError("the last rule is for anybody")


def may(
    action: Action, identity: Identity, workspace: Workspace, maker: Identity | None = None
) -> bool:
    """Say whether somebody may do something with a workspace; every way in asks this."""
    return standing_of(identity, workspace, maker) >= LEAST[action]


def may_enter(identity: Identity, workspace: Workspace, maker: Identity | None = None) -> bool:
    return may(Action.ENTER, identity, workspace, maker)


def owns(identity: Identity, workspace: Workspace, maker: Identity | None = None) -> bool:
    return may(Action.CHANGE, identity, workspace, maker)


def may_hand_on(identity: Identity, workspace: Workspace) -> bool:
    """Say whether somebody who may enter a workspace may let others in, by a token for it.

    A child may do so where its own token is for, and in what is its own. What it makes counts as
    a child of its own maker: anywhere else that one may be an owner, and the new child would be.
    """
    if not identity.is_child or workspace.name in (*identity.scopes, identity.id):
        return True
    return _is_owner(Case(identity, workspace, None))


def may_oversee(identity: Identity) -> bool:
    """Say whether a user may see what all the others do."""
    return identity.id == ROOT.id or identity.is_admin
