"""The forms by which proposals are written and decided. They only read what was typed; services judge it."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from registry.domain.names import entity_type_problem
from registry.domain.problems import InvalidDocument
from registry.services.proposals import TEXT_MAX, TITLE_MAX
from schemaevo.kernel.canonical import Json, JsonObject, Unstorable, decode
from schemaevo.kernel.errors import Denied, DomainError
from schemaevo.kernel.pages.verbs import form_refused, refusal_lines

#: Problems of edits that stand on a page; the command tells all.
PROBLEMS_SHOWN: Final = 20
#: The fields at which refusals stand, by their code.
_FIELDS: Final = {
    "invalid_entity_type": "entity_type",
    "title_needed": "title",
    "title_too_long": "title",
    "empty_proposal": "edits",
    "comment_needed": "text",
    "note_needed": "note",
}
#: Statuses of the page that shows a form again; what was merely typed wrongly is no error of the address.
_STATUSES: Final = {"denied": 403, "conflict": 409, "lock_timeout": 503}


class TextField(forms.CharField):
    """Some sentences; lines end as everywhere but in forms."""

    def __init__(self, *, label: Any, rows: int = 3, required: bool = False, **options: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": rows})
        super().__init__(label=label, required=required, max_length=TEXT_MAX, widget=widget, **options)

    def to_python(self, value: Any) -> Any:
        return super().to_python(value.replace("\r\n", "\n") if isinstance(value, str) else value)


class ProposalForm(forms.Form):
    """What the forms of proposals share: `status` of the page that shows one again, and the `code` it was refused with.

    `problems` are those of the edits.
    """

    status = 200
    code = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.problems: list[JsonObject] = []
        self.problem_count = 0

    def refused(self, error: DomainError) -> None:
        """The refusal of a service stands at the field that it is about, else above all fields.

        Raises: PermissionDenied for what the login may not do at all.
        """
        self.code = error.code
        self.status = _STATUSES.get(error.family, 200)
        if isinstance(error, Denied) and error.code not in {"permission_denied", "login_needed"}:
            # A login that may do it in general; why not here is what it has to be told.
            self.add_error(None, refusal_lines(error))
        elif isinstance(error, InvalidDocument) and "edits" in self.fields:
            self._problems_told(error.context["problems"], error.context["problem_count"])
        else:
            form_refused(self, error, **{code: name for code, name in _FIELDS.items() if name in self.fields})

    def _problems_told(self, problems: list[JsonObject], count: int) -> None:
        self.problems, self.problem_count = problems[:PROBLEMS_SHOWN], count
        told = ngettext(
            "There is a problem; it stands beside.", "There are %(n)s problems; they stand beside.", count
        )
        self.add_error("edits", told % {"n": count})


class EditForm(ProposalForm):
    """What a proposal says. `content` is the hash of the edits that were shown."""

    title = forms.CharField(
        label=_("Title"),
        help_text=_("What it changes, in a line."),
        # How long it may be is told by the service.
        widget=UnfoldAdminTextInputWidget(attrs={"maxlength": TITLE_MAX}),
    )
    reason = TextField(
        label=_("Reason"), help_text=_("Why everybody should have it. Whoever decides reads it.")
    )
    edits = forms.CharField(
        label=_("Edits"),
        help_text=_("A JSON list; what may stand in it is told beside."),
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 18, "class": "se-edits", "spellcheck": "false"}),
    )
    content = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def clean_edits(self) -> Json:
        try:
            return decode(self.cleaned_data["edits"])
        except Unstorable as error:
            raise forms.ValidationError(error.message) from None


class DraftForm(EditForm):
    """The same for one that is not there yet. `reverse` is the number of a proposal that it takes back."""

    entity_type = forms.CharField(
        label=_("Entity type"),
        help_text=_("Whose global schema it changes, such as invoice."),
        max_length=63,
        widget=UnfoldAdminTextInputWidget,
    )
    reverse = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["content"]
        self.order_fields(["entity_type", "title", "reason", "edits", "reverse"])

    def clean_entity_type(self) -> str:
        name: str = self.cleaned_data["entity_type"]
        if (problem := entity_type_problem(name)) is not None:
            raise forms.ValidationError(problem)
        return name


class NoteForm(ProposalForm):
    """Something is done about a proposal, perhaps with a word about it."""

    note = TextField(
        label=_("Note"), help_text=_("Stands in the audit log, and on the page of the proposal.")
    )


class ApprovalForm(NoteForm):
    """A decision about the content that was shown."""

    content = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)


class ObjectionForm(ApprovalForm):
    """The same with a reason, which whoever wrote the proposal has to know."""

    note = TextField(label=_("Why"), required=True, help_text=_("Whoever wrote the proposal reads it."))


class CommentForm(ProposalForm):
    """Something is said."""

    text = TextField(label=_("Comment"), required=True)


class ConfirmForm(ProposalForm):
    """Nothing but that it is wanted."""
