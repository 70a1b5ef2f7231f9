"""Who may do what (DESIGN section 10), as one table. Every door is held to it: services, pages and commands.

A service, a page or a command that is new gets its line beside the others of its door (`services.py`, `pages.py`,
`commands.py`) and names its row here; the tests fail until it has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Somebody at a door. Each is somebody else: what one role may do says nothing about the next."""

    STRANGER = "nobody who has signed in"
    OWNER = "an owner, who does not sign in"
    RETIRED = "a schema admin whose login is deactivated"
    NONE = "a login without a role"
    VIEWER = "viewer"
    OPERATOR = "operator"
    SCHEMA_ADMIN = "schema_admin"
    SUPERUSER = "superuser"
    ASKING_OPERATOR = "the operator who asked for the upgrade"
    ASKING_ADMIN = "the schema admin who asked for the upgrade, and wrote the proposal"
    ASKING_SUPERUSER = "the superuser who asked for the upgrade, and wrote the proposal"
    SHELL = "whoever has the shell, and names no login"


ASKERS = frozenset({Role.ASKING_OPERATOR, Role.ASKING_ADMIN, Role.ASKING_SUPERUSER})
#: Who wrote the proposal, of those who could.
AUTHORS = ASKERS - {Role.ASKING_OPERATOR}
SUPERUSERS = frozenset({Role.SUPERUSER, Role.ASKING_SUPERUSER, Role.SHELL})
ADMINS = SUPERUSERS | {Role.SCHEMA_ADMIN, Role.ASKING_ADMIN}
OPERATORS = ADMINS | {Role.OPERATOR, Role.ASKING_OPERATOR}
VIEWERS = OPERATORS | {Role.VIEWER}
LOGINS = VIEWERS | {Role.NONE}
NOBODY: frozenset[Role] = frozenset()
#: Whom the admin sends to its page for signing in, whatever they ask for.
OUTSIDE = frozenset({Role.STRANGER, Role.OWNER, Role.RETIRED})
#: The groups that migrations make.
GROUPS = {Role.VIEWER, Role.OPERATOR, Role.SCHEMA_ADMIN}


@dataclass(frozen=True)
class Row:
    """Who may do one thing: `holders` have its permission, but for those of whom `never` says that they may not all
    the same, who are refused with `code`."""

    permission: str | None
    holders: frozenset[Role]
    never: frozenset[Role] = NOBODY
    code: str = ""

    @property
    def may(self) -> frozenset[Role]:
        return self.holders - self.never

    def refusal(self, role: Role) -> str:
        """The code that the role is refused with; nothing where it may."""
        if role not in self.holders:
            return "permission_denied"
        if role not in self.never:
            return ""
        return "login_needed" if role == Role.SHELL else self.code


NO_LOGIN = frozenset({Role.SHELL})

TABLE: dict[str, Row] = {
    # --- looking ---
    "sign in": Row(None, LOGINS),
    "see": Row(None, VIEWERS),
    "see values": Row("snapshots.see_values", OPERATORS),
    "see users": Row(None, SUPERUSERS),
    "save views": Row(None, VIEWERS, never=NO_LOGIN),
    "share views": Row("kernel.share_view", OPERATORS, never=NO_LOGIN),
    # Their own: a login that lost its role still has what it saved.
    "change views": Row(None, LOGINS, never=NO_LOGIN),
    # --- working ---
    "ingest": Row("fragments.ingest", OPERATORS),
    # Together with the permission to see values, which the same roles have.
    "correct values": Row("snapshots.correct_value", OPERATORS),
    "control jobs": Row("kernel.control_job", OPERATORS),
    "archive fragments": Row("fragments.archive_fragment", OPERATORS),
    "restore fragments": Row("fragments.restore_fragment", OPERATORS),
    "dismiss fields": Row("fragments.dismiss_field", OPERATORS),
    "pause everything": Row("kernel.switch_pause", OPERATORS),
    "ask for quota": Row("registry.request_quota", OPERATORS, never=NO_LOGIN),
    "withdraw": Row(
        "registry.request_quota", OPERATORS, never=(OPERATORS - ASKERS) | NO_LOGIN, code="not_own_request"
    ),
    # --- governing ---
    "register schemas": Row("registry.register_schema", ADMINS),
    "activate schemas": Row("registry.activate_schema", ADMINS),
    "extend schemas": Row("registry.extend_schema", ADMINS),
    "promote fields": Row("fragments.promote_field", ADMINS),
    "retract sources": Row("snapshots.retract_source", ADMINS),
    "set enhancement": Row("fragments.set_enhancement", ADMINS),
    "set compatibility": Row("registry.set_compatibility", ADMINS),
    "ignore fields": Row("fragments.ignore_fields", ADMINS),
    # What an analysis drafts has no author, and so no login is needed for it.
    "draft what is found": Row("registry.propose_schema", ADMINS),
    "decide requests": Row("registry.decide_quota", ADMINS, never=ASKERS | NO_LOGIN, code="own_request"),
    "draft proposals": Row("registry.propose_schema", ADMINS, never=NO_LOGIN, code="login_needed"),
    "decide proposals": Row("registry.decide_proposal", ADMINS, never=NO_LOGIN, code="login_needed"),
    "apply proposals": Row("registry.apply_proposal", ADMINS, never=NO_LOGIN, code="login_needed"),
    "raise maxima": Row("registry.decide_quota", ADMINS, never=ASKERS, code="own_request"),
    "lower maxima": Row("registry.decide_quota", ADMINS),
    "withdraw proposals": Row(
        "registry.propose_schema", ADMINS, never=(ADMINS - AUTHORS) | NO_LOGIN, code="not_own_proposal"
    ),
    "approve proposals": Row(
        "registry.decide_proposal", ADMINS, never=AUTHORS | NO_LOGIN, code="own_proposal"
    ),
    "end proposals": Row("registry.decide_proposal", ADMINS),
    # --- people ---
    "change users": Row(None, SUPERUSERS),
    "erase": Row(None, SUPERUSERS),
    "change one's password": Row(None, LOGINS),
    # --- never by hand ---
    "write by hand": Row(None, NOBODY),
}


def roles_for(*rows: Row, but: frozenset[Role] = NOBODY) -> list[Role]:
    """The roles that a door is tried with: who asked is like others of their role where nothing is said of them."""
    left_out = but if any(row.never & ASKERS for row in rows) else but | ASKERS
    return [role for role in Role if role not in left_out]
