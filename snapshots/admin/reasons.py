"""The reasons for the values of an entity in words, as its page says them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from registry.domain.definition import Policy, Strategy
from snapshots.selectors_explained import FieldExplained, SnapshotExplained

_POLICIES: Final = {
    Strategy.LAST_WRITE: _("the newest observation speaks for the field"),
    Strategy.HIGHEST_PRIORITY: _(
        "the observation of the highest priority speaks for the field; of several, by the order of kinds, then the "
        "newest"
    ),
    Strategy.MOST_SPECIFIC: _(
        "the most specific observation speaks for the field; of several, by the order of kinds, then the newest"
    ),
    Strategy.MERGE_ARRAY: _(
        "the items of all observations of the highest priority stand together, those of the newest first, each once"
    ),
}
_BY_PRIORITY_ON_TIE: Final = _(
    "the most specific observation speaks for the field; of several, the one of the highest priority, then by the "
    "order of kinds, then the newest"
)


@dataclass(frozen=True, slots=True)
class Reason:
    """A field of the page, with why it is so: in short, and what its policy does."""

    field: FieldExplained
    summary: str
    policy_words: str

    @property
    def unlisted(self) -> int:
        """How many observations lost and are not on the page."""
        return (self.field.runners_up_count or 0) - len(self.field.runners_up)

    @property
    def is_joined(self) -> bool:
        """Whether several observations can have a part in it."""
        return self.field.policy.strategy is Strategy.MERGE_ARRAY


def reasons_of(told: SnapshotExplained) -> list[Reason]:
    """Every field of the page, in the order in which they are shown."""
    return [Reason(field, _summary(field), _words(field.policy)) for field in told.fields]


def _words(policy: Policy) -> str:
    return str(_BY_PRIORITY_ON_TIE if policy.asks_priority_on_tie else _POLICIES[policy.strategy])


def _summary(field: FieldExplained) -> str:
    """How the field was decided, in a line."""
    if not field.is_spoken_of:
        return ""
    lost = field.runners_up_count
    if field.policy.strategy is Strategy.MERGE_ARRAY and not field.winner_count:
        return ngettext(
            "%(n)s observation speaks of it and gives no item",
            "%(n)s observations speak of it and give no item",
            lost or 0,
        ) % {"n": lost}
    if field.policy.strategy is Strategy.MERGE_ARRAY:
        joined = ngettext(
            "joined from %(n)s observation", "joined from %(n)s observations", field.winner_count
        ) % {"n": field.winner_count}
        if not lost:
            return joined
        return joined + _now(", %(n)s more without a part") % {"n": lost}
    if lost is None:
        return _now("who else spoke of it was not read")
    if lost == 0:
        return _now("the only one that speaks of it")
    return ngettext("won over %(n)s other", "won over %(n)s others", lost) % {"n": lost}
