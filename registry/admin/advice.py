"""What settles a disagreement between what a user says and the global schema, in words."""

from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from registry.domain.composition import ConflictCode

ADVICE: Final[dict[ConflictCode, Any]] = {
    ConflictCode.TYPE_DIFFERS: _(
        "Give the user's field another name, or take it out of the extension: then the global one counts, and a "
        "converter of it can read what was sent so far."
    ),
    ConflictCode.AMBIGUOUS_NAME: _(
        "Take the user's field out if it means the same; else give it a name that nobody mixes up."
    ),
    ConflictCode.OVERRIDE_OF_UNDECLARED: _(
        "Take the override out, or add the field to the extension if the user still needs it."
    ),
    ConflictCode.OVERRIDE_LOOSENS: _("Take this part out: the global schema is tighter already."),
    ConflictCode.OVERRIDE_INCOMPARABLE: _(
        "Write it anew, so that it allows only what the global schema does."
    ),
    ConflictCode.OVERRIDE_UNSUITED: _("Take this part out: the global field has another type."),
    ConflictCode.OVERRIDE_EMPTY: _("Choose bounds that lie inside the global ones."),
    ConflictCode.OVERRIDE_NARROWED: _("List only values that the other constraints allow."),
}
