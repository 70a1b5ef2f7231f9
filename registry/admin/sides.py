"""How two definitions look side by side: what is otherwise is marked by a word, a sign and a colour."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from registry.domain.changes import Change
from registry.domain.sides import FieldSides, Item, Part, Side, Sides
from schemaevo.kernel.pages.display import NOTHING, badge, json_value

#: Changes told in words at once; the rest is folded away.
CHANGES_SHOWN = 12

PART_LABELS: Final[dict[str, Any]] = {
    "type": _("type"),
    "required": _("required"),
    "policy": _("merge policy"),
    "converters": _("converters"),
    "description": _("description"),
    "kind_order": _("order of trust"),
}
_SIDES: Final[dict[Side, tuple[Any, str, str]]] = {
    Side.ADDED: (_("added"), "good", "add_circle"),
    Side.REMOVED: (_("removed"), "bad", "remove_circle"),
    Side.CHANGED: (_("changed"), "warn", "change_circle"),
    Side.SAME: (_("the same"), "plain", "check_circle"),
}
SIZE_TONES: Final[dict[str, str]] = {"major": "warn", "minor": "busy", "patch": "plain"}


@dataclass(frozen=True, slots=True)
class PartShown:
    """One part of a field, ready for the page."""

    label: Any
    is_changed: bool
    old: SafeString
    new: SafeString


@dataclass(frozen=True, slots=True)
class FieldShown:
    """One field on both sides, ready for the page."""

    name: str
    side: Side
    word: Any
    tone: str
    icon: str
    size: SafeString
    parts: tuple[PartShown, ...]


@dataclass(frozen=True, slots=True)
class ChangeShown:
    """One change in words, with its size."""

    size: SafeString
    words: str


def size_badge(size: str | None) -> SafeString:
    """The part of the version number that is raised, as a badge."""
    return badge(size, SIZE_TONES[size]) if size else NOTHING


def parts_shown(parts: Iterable[Part]) -> tuple[PartShown, ...]:
    """Parts with both of their sides as they stand on a page."""
    return tuple(
        PartShown(
            PART_LABELS.get(part.name, part.name),
            part.is_changed,
            _side(part, part.old, part.old_more, "del"),
            _side(part, part.new, part.new_more, "ins"),
        )
        for part in parts
    )


def sides_context(sides: Sides) -> dict[str, Any]:
    """What the template of two sides shows."""
    changes = [ChangeShown(size_badge(change.size), _sentence(change)) for change in sides.difference]
    counts = [(side, len(sides.on(side))) for side in (Side.ADDED, Side.REMOVED, Side.CHANGED)]
    return {
        "size": size_badge(sides.difference.size),
        "counts": [badge(f"{count} {_SIDES[side][0]}", _SIDES[side][1]) for side, count in counts if count],
        "changes": changes[:CHANGES_SHOWN],
        "more_changes": changes[CHANGES_SHOWN:],
        "differing": [_field(field) for field in sides.differing],
        "same": [(field.new.field, field.new.policy) for field in sides.same if field.new],
        "kind_order": parts_shown([sides.kind_order])[0] if sides.kind_changes else None,
    }


def _field(field: FieldSides) -> FieldShown:
    word, tone, icon = _SIDES[field.side]
    return FieldShown(
        field.name, field.side, word, tone, icon, size_badge(field.size), parts_shown(field.parts)
    )


def _sentence(change: Change) -> str:
    words = change.in_words
    return words[:1].upper() + words[1:] + "."


def _side(part: Part, items: tuple[Item, ...], more: int, mark: str) -> SafeString:
    if not items:
        return NOTHING
    shown = [
        format_html("<{0}>{1}</{0}>", mark, _item(part, i)) if i.is_marked else _item(part, i) for i in items
    ]
    listed = format_html_join("", '<span class="se-item">{}</span>', ((one,) for one in shown))
    if not more:
        return listed
    rest = ngettext("and %(n)s more", "and %(n)s more", more) % {"n": more}
    return format_html('{}<span class="se-muted">{}</span>', listed, rest)


def _item(part: Part, item: Item) -> SafeString:
    if part.name == "required":
        return format_html("{}", _now("yes") if item.value is True else _now("no"))
    if part.is_constraint:
        return json_value(item.value)
    return format_html("{}", item.value)
