"""What acts in bulk are called on pages: verbs, and why rows were skipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from fragments.domain.bulk import CHANGED, FAILED, NOT_ADOPTED, QUOTA, RETRACTED
from fragments.domain.recommendation import ObstacleCode
from fragments.models import BulkVerb, LifecycleState

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Text = str | _StrPromise


@dataclass(frozen=True, slots=True)
class VerbWords:
    """A verb as the name of a thing to do, what it does, what its done rows are called, and its button."""

    name: Text
    does: Text
    done: Text
    button: Text
    icon: str


VERB_WORDS: dict[BulkVerb, VerbWords] = {
    BulkVerb.ARCHIVE: VerbWords(
        _("Archive"),
        _(
            "What is active is archived: it is kept and still counts as evidence, and is active again once it is seen."
        ),
        _("Archived"),
        _("Archive all of these"),
        "inventory_2",
    ),
    BulkVerb.RESTORE: VerbWords(
        _("Restore"),
        _(
            "What waits for its deletion is as it was before: promoted, with a new expiry, or active if it came from "
            "the archive."
        ),
        _("Restored"),
        _("Restore all of these"),
        "restore_from_trash",
    ),
    BulkVerb.PROMOTE: VerbWords(
        _("Promote"),
        _(
            "Each field is declared for its owner as it is suggested, within the owner's quota. Jobs then turn its "
            "fragments into observations."
        ),
        _("Promoted"),
        _("Promote all of these"),
        "move_up",
    ),
    BulkVerb.DISMISS: VerbWords(
        _("Dismiss"),
        _(
            "The fields are not recommended any more, and nothing promotes them by itself, until somebody recalls them."
        ),
        _("Dismissed"),
        _("Dismiss all of these"),
        "block",
    ),
    BulkVerb.SNOOZE: VerbWords(
        _("Snooze"),
        _(
            "The fields are not recommended until a time, and then they are again. What was dismissed for good "
            "stays so."
        ),
        _("Snoozed"),
        _("Snooze all of these"),
        "snooze",
    ),
}

_SKIPS: dict[str, Text] = {
    LifecycleState.ACTIVE: _("is active"),
    LifecycleState.PROMOTED: _("is promoted"),
    LifecycleState.ARCHIVED: _("is archived already"),
    LifecycleState.PENDING_DELETION: _("waits for its deletion"),
    RETRACTED: _("its source is retracted"),
    CHANGED: _("did not match any more when its turn came"),
    QUOTA: _("would pass its owner's quota"),
    NOT_ADOPTED: _("its owner's own schema is not adopted yet"),
    FAILED: _("failed; the log has more"),
    "owner_erased": _("its owner is erased"),
    "lock_timeout": _("others were writing there"),
    ObstacleCode.BEING_COUNTED: _("is being counted anew"),
    ObstacleCode.TURNED_OFF: _("nothing is recommended of its type"),
    ObstacleCode.NO_SCHEMA: _("there is no schema it could be added to"),
    ObstacleCode.ALREADY_DECLARED: _("is declared already"),
    ObstacleCode.INVALID_NAME: _("its name cannot be declared"),
    ObstacleCode.AMBIGUOUS_NAME: _("cannot be told apart from another field"),
    ObstacleCode.IGNORED: _("is on the ignore list"),
    ObstacleCode.DISMISSED: _("is dismissed"),
    ObstacleCode.SNOOZED: _("is snoozed"),
    ObstacleCode.NO_VALUE: _("all values are null"),
    ObstacleCode.SEEN_TOO_RARELY: _("was seen too rarely"),
    ObstacleCode.CONFIDENCE_TOO_LOW: _("confidence is too low"),
    ObstacleCode.ONE_SOURCE_AND_ENTITY: _("is of one source and entity only"),
}


def skip_words(code: str) -> str:
    """Why a row was skipped, for people; the code itself where it is that of a rare refusal."""
    return str(_SKIPS.get(code, code.replace("_", " ")))
