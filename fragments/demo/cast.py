"""Who plays in the demo: its logins, and the owners whose records something happens to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Count, QuerySet

from fragments.demo.records import PACKAGE
from fragments.models import FragmentReason, RawFragment
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.demo_logins import OPERATOR, REVIEWER, SCHEMA_ADMIN, demo_logins_ensure
from schemaevo.kernel.models import User

#: Owners with the most kinds of fields, which parts are given to.
VARIED = 5


@dataclass(frozen=True, slots=True)
class Cast:
    """The logins that act. `varied` are owners of packages, those with the most kinds of undeclared fields first."""

    operator: Actor
    schema_admin: Actor
    reviewer: Actor
    varied: tuple[User, ...]

    def having(self, field: str, count: int) -> list[User]:
        """The first owners who have that field in fragments, whatever became of these, without `varied`."""
        owners = User.objects.filter(pk__in=undeclared().filter(fragment_key=field).values("user"))
        others = owners.exclude(pk__in=[user.pk for user in self.varied])
        return list(others.order_by("username")[:count])


def cast_call() -> Cast:
    """The demo's logins are there; the owners are chosen so that a second call chooses the same."""
    logins = demo_logins_ensure(actor=Actor.system("demo"))
    rows = undeclared().values("user", "user__username")
    ranked = rows.annotate(kinds=Count("fragment_key", distinct=True)).order_by("-kinds", "user__username")
    varied = [row["user"] for row in ranked[:VARIED]]
    users = User.objects.in_bulk(varied)
    return Cast(
        operator=Actor.login(logins[OPERATOR.username]),
        schema_admin=Actor.login(logins[SCHEMA_ADMIN.username]),
        reviewer=Actor.login(logins[REVIEWER.username]),
        varied=tuple(users[pk] for pk in varied),
    )


def undeclared() -> QuerySet[RawFragment]:
    """The fragments of packages whose field no schema declared when they came."""
    return RawFragment.objects.filter(entity_type=PACKAGE, reason=FragmentReason.UNKNOWN_FIELD)


def fields_of(owner: User, *, without: Collection[str] = ()) -> list[str]:
    """The undeclared fields that an owner's packages have, by name."""
    found = undeclared().filter(user=owner).exclude(fragment_key__in=without)
    return list(found.order_by("fragment_key").values_list("fragment_key", flat=True).distinct())
