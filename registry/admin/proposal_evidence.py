"""The evidence of a proposal that an analysis drafted, ready for its page. Users are counted, and no value is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.pages.display import NOTHING, amount

_DECLARED_BY: Final[dict[str, Any]] = {
    "own_schema": _("in a schema of their own"),
    "extension": _("in their extension"),
    "fragments": _("in fragments that wait"),
}
#: Numbers of the evidence, in the order in which they stand on the page.
_FIGURES: Final[dict[str, Any]] = {
    "users": _("Users who have it"),
    "users_of_type": _("Users of the entity type"),
    "share": _("Share of users"),
    "type_share": _("Share with that type"),
    "confidence": _("Confidence"),
    "values": _("Values that wait"),
    "converted": _("Of them converted"),
    "converted_share": _("Share converted"),
    "sources": _("Sources"),
    "entities": _("Entities"),
}
_SHARES: Final = frozenset({"share", "type_share", "confidence", "converted_share"})


@dataclass(frozen=True, slots=True)
class EvidenceShown:
    """What an analysis found, ready for the page: figures, then rows of tables, then sentences against it."""

    type: str
    converter: str
    figures: list[tuple[str, SafeString]]
    declared: list[tuple[str, SafeString]]
    types: list[tuple[str, SafeString]]
    factors: list[tuple[str, str]]
    near: list[tuple[str, SafeString]]
    obstacles: list[str]


def evidence_shown(evidence: JsonObject) -> EvidenceShown | None:
    """The evidence for people; None where there is none. What another release wrote is shown as far as it is known."""
    if not evidence:
        return None
    return EvidenceShown(
        type=str(evidence.get("type") or ""),
        converter=str(evidence.get("converter") or ""),
        figures=[
            (str(label), _figure(name, str(label), evidence[name]))
            for name, label in _FIGURES.items()
            if name in evidence
        ],
        declared=[
            (str(_DECLARED_BY.get(shape, shape)), count_shown(users))
            for shape, users in object_in(evidence.get("declared_by")).items()
        ],
        types=[(kind, count_shown(users)) for kind, users in object_in(evidence.get("types")).items()],
        factors=[
            (str(factor.get("words", "")), percent(factor.get("contribution")))
            for factor in objects_in(evidence.get("factors"))
        ],
        near=[
            (str(one.get("field", "")), count_shown(one.get("users")))
            for one in objects_in(evidence.get("near"))
        ],
        obstacles=[str(one.get("message", "")) for one in objects_in(evidence.get("obstacles"))],
    )


def percent(share: Json) -> str:
    """A share of one as people say it, to a tenth; empty for what is none."""
    if isinstance(share, bool) or share is None or isinstance(share, (str, list, dict)):
        return ""
    text = f"{share * 100:.1f}"
    return f"{text.removesuffix('.0')} %"


def _figure(name: str, label: str, value: Json) -> SafeString:
    if name not in _SHARES:
        return count_shown(value)
    text = percent(value)
    if not text:
        return NOTHING
    return format_html(
        '<span class="se-number">{}</span> <meter class="se-meter" max="1" value="{}" aria-label="{}"></meter>',
        text,
        str(value),
        label,
    )


def count_shown(value: Json) -> SafeString:
    """A count of a stored document; what is none is not shown."""
    return amount(value) if isinstance(value, int) and not isinstance(value, bool) else NOTHING


def object_in(value: Json) -> JsonObject:
    """The value, where it is an object; else one without keys."""
    return value if isinstance(value, dict) else {}


def objects_in(value: Json) -> Iterable[JsonObject]:
    """The objects in the list that the value is; none where it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
