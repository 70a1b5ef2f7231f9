"""The stops of docs/tour.md in their order. The test walks them, the pictures are taken at them, and the headings of
the page are their titles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Deed:
    """Something that is done at a stop: the link to its page, the button there, the note, and the state it leads to."""

    link: str
    button: str
    note: str
    state: str
    #: Whether the picture is of the page that asks, and not of what came of it.
    is_asked_in_picture: bool = False


@dataclass(frozen=True)
class Stop:
    """A page of the running demo: who looks at it, where it is, which links lead on, and what is there to be seen."""

    name: str
    title: str
    login: str
    path: str
    sees: str
    follow: tuple[str, ...] = ()
    deed: Deed | None = None

    @property
    def picture(self) -> str:
        """The file of its picture, in docs/images."""
        return f"tour-{self.name}.png"


VIEWER: Final = "demo-viewer"
OPERATOR: Final = "demo-operator"
SCHEMA_ADMIN: Final = "demo-schema-admin"
REVIEWER: Final = "demo-reviewer"

PROPOSAL: Final = "Add Ruby-Versions as string"

STOPS: Final = (
    Stop("dashboard", "The dashboard", SCHEMA_ADMIN, "/admin/", "Changed without review"),
    Stop(
        "letters",
        "A file came in, and some of it did not",
        OPERATOR,
        "/admin/fragments/deadletter/",
        "is not an ISO 8601 date or time",
    ),
    Stop(
        "entity",
        "One entity, and why it is so",
        OPERATOR,
        "/admin/snapshots/entitysnapshot/?q=mariadb-server-10.5",
        "database",
        follow=("mariadb-server-10.5",),
    ),
    Stop(
        "fragments",
        "What nobody declared",
        OPERATOR,
        "/admin/fragments/rawfragment/?q=Ruby-Versions",
        "Ruby-Versions",
    ),
    Stop(
        "viewer",
        "The same without values",
        VIEWER,
        "/admin/fragments/rawfragment/?q=Ruby-Versions",
        "Ruby-Versions",
    ),
    Stop(
        "fields",
        "What the data wants to become",
        SCHEMA_ADMIN,
        "/admin/fragments/fieldtotal/",
        "Confidence",
        follow=("Ruby-Versions",),
    ),
    Stop(
        "promotion",
        "A field is promoted for one owner",
        SCHEMA_ADMIN,
        "/admin/fragments/promotion/",
        "Lua-Versions",
        follow=("Lua-Versions",),
    ),
    Stop(
        "quotas",
        "How much an owner may declare",
        SCHEMA_ADMIN,
        "/admin/registry/userquota/",
        "17 / 20",
    ),
    Stop(
        "request",
        "Somebody asks for more",
        REVIEWER,
        "/admin/registry/quotarequest/?state=pending",
        "fields are promoted by themselves",
    ),
    Stop(
        "schema",
        "A schema and its versions",
        SCHEMA_ADMIN,
        "/admin/registry/schema/",
        "2.0.0",
        follow=("package",),
    ),
    Stop(
        "conflict",
        "An owner who disagrees",
        SCHEMA_ADMIN,
        "/admin/registry/extensionrevision/conflicts/",
        "Essential",
    ),
    Stop(
        "proposal",
        "Thirty owners have it: a proposal",
        REVIEWER,
        "/admin/registry/proposal/",
        "Is it always one line of text?",
        follow=(PROPOSAL,),
    ),
    Stop(
        "approve",
        "Somebody else approves",
        REVIEWER,
        "/admin/registry/proposal/",
        "Ruby-Versions",
        follow=(PROPOSAL,),
        deed=Deed(
            "Approve…", "Approve", "the trial leaves nothing over", "approved", is_asked_in_picture=True
        ),
    ),
    Stop(
        "apply",
        "It is applied to everybody",
        SCHEMA_ADMIN,
        "/admin/registry/proposal/",
        "Ruby-Versions",
        follow=(PROPOSAL,),
        deed=Deed("Apply…", "Apply", "", "applied"),
    ),
    Stop(
        "undo",
        "And taken back",
        SCHEMA_ADMIN,
        "/admin/registry/proposal/",
        "Ruby-Versions",
        follow=(PROPOSAL,),
        deed=Deed("Undo…", "Undo", "only to show that it can be", "undone"),
    ),
    Stop(
        "jobs",
        "The jobs behind it",
        OPERATOR,
        "/admin/kernel/job/?state=paused",
        "refresh_snapshots",
        follow=("refresh_snapshots repository",),
    ),
)
