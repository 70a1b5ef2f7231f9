"""recommend_fields [--entity-type T] [--user U] [--all] [--why] [--limit N]"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandParser

from fragments.domain.recommendation import Recommendation
from fragments.management.recommended import (
    outlook_json,
    outlook_lines,
    recommendation_json,
    recommendation_lines,
)
from fragments.selectors_aggregates import FieldKey, entity_types_counted
from fragments.selectors_converters import converter_outlooks
from fragments.selectors_counting import Counting, counting
from fragments.selectors_recommendations import (
    RecommendationPage,
    recommendations_of_user,
    recommendations_over_users,
)
from registry.management.documents import entity_type_named, owner_named
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.models import User

LIMIT = 100


class Command(ServiceCommand):
    help = (
        "Tells which undeclared fields should be declared, of a user or over all users, and which converters declared "
        "fields lack. Changes nothing."
    )
    usage_codes = frozenset({"limit_too_low"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--entity-type", metavar="T", help="of this type only; else of every type")
        parser.add_argument("--user", metavar="U", help="owner (id, e-mail or username); else over all users")
        parser.add_argument("--all", action="store_true", help="also those that something speaks against")
        parser.add_argument("--why", action="store_true", help="explain every factor, and show some values")
        parser.add_argument(
            "--limit", type=int, default=LIMIT, metavar="N", help=f"at most so many of a type ({LIMIT})"
        )

    def run(self, **options: Any) -> JsonObject:
        if options["limit"] < 1:
            raise Invalid("limit_too_low", "--limit has to be 1 or more.")
        owner = owner_named(options["user"])
        if options["entity_type"] is None:
            types = entity_types_counted(user_id=owner.pk if owner else None)
        else:
            types = [entity_type_named(options["entity_type"])]
        state = counting()
        if state is not Counting.DONE:
            self.say(_COUNTING[state])
        return {
            "user": owner.username if owner else None,
            "counting": state.value,
            "types": [self._type(entity_type, owner, options) for entity_type in types],
        }

    def _type(self, entity_type: str, owner: User | None, options: dict[str, Any]) -> JsonObject:
        found, looked_at = _best(entity_type, owner, is_all=options["all"])
        shown = found[: options["limit"]]
        self.say(
            f"{entity_type} of {owner or 'all users'}: {sum(one.is_eligible for one in found)} recommended "
            f"of {looked_at} undeclared or waiting fields"
        )
        for one in shown:
            for line in recommendation_lines(one, is_explained=options["why"]):
                self.say(f"  {line}")
        if len(found) > len(shown):
            self.say(f"  and {len(found) - len(shown)} more (--limit)")
        converters = converter_outlooks(entity_type=entity_type, user_id=owner.pk if owner else None).outlooks
        if converters:
            self.say("  Declared fields of which values of another type wait:")
        for outlook in converters:
            for line in outlook_lines(outlook):
                self.say(f"    {line}")
        recommendations: list[Json] = [recommendation_json(one) for one in shown]
        return {
            "entity_type": entity_type,
            "fields": looked_at,
            "recommendations": recommendations,
            "more": len(found) - len(shown),
            "converter_suggestions": [outlook_json(outlook) for outlook in converters],
        }


_COUNTING = {
    Counting.AT_WORK: "The fragments are still being counted: nothing is recommended until that is done.",
    Counting.FAILED: (
        "Counting the fragments has failed: nothing is recommended until the job rebuild_aggregates has done it."
    ),
}


def _best(entity_type: str, owner: User | None, *, is_all: bool) -> tuple[list[Recommendation], int]:
    """The recommendations of a type, the best first, and how many fields were looked at."""

    def page(after: FieldKey | None) -> RecommendationPage:
        if owner is not None:
            return recommendations_of_user(user_id=owner.pk, entity_type=entity_type, after=after)
        return recommendations_over_users(entity_type=entity_type, after=after.name if after else "")

    found: list[Recommendation] = []
    looked_at = 0
    for one in _pages(page):
        looked_at += len(one.recommendations)
        found += one.recommendations if is_all else one.eligible
    return sorted(found, key=_rank), looked_at


def _pages(page: Callable[[FieldKey | None], RecommendationPage]) -> list[RecommendationPage]:
    pages = [page(None)]
    while (after := pages[-1].next_after) is not None:
        pages.append(page(after))
    return pages


def _rank(one: Recommendation) -> tuple[bool, int, int, str]:
    return (not one.is_eligible, -one.confidence.total, -one.counts.frequency_total, one.name)
