"""The page on which names are ignored by pattern, for the owner of a field."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _now

from fragments.admin.field_verbs.asked import ReasonField, field_page, to_field
from fragments.domain.ignoring import matching_pattern, normalised_pattern, pattern_problem
from fragments.models import RawFragmentAggregate
from fragments.selectors_refusals import fields_hit, patterns_ignored
from fragments.services.ignore_lists import pattern_ignore, pattern_recall
from schemaevo.kernel.canonical import is_storable_text
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import form_refused

MAY_IGNORE = "fragments.ignore_fields"
#: Names that the page lists.
LISTED = 20
IGNORE, RECALL = "ignore", "recall"


class IgnoreForm(forms.Form):
    """Which pattern, for this entity type or for all of the owner's, and why."""

    what = forms.ChoiceField(choices=[(IGNORE, IGNORE), (RECALL, RECALL)])
    pattern = forms.CharField(strip=False)
    every_type = forms.BooleanField(required=False)
    reason = ReasonField()


def ignore_page(model_admin: StoreAdmin, request: HttpRequest, row: RawFragmentAggregate) -> HttpResponse:
    """Which of the owner's fields a pattern hits, and the owner's list; on POST the pattern is on it, or no longer."""
    is_post = request.method == "POST"
    form = IgnoreForm(request.POST if is_post else None)
    if form.is_bound and form.is_valid() and _is_done(request, row, form):
        return to_field(row) if form.cleaned_data["what"] == IGNORE else HttpResponseRedirect(request.path)
    asked = (request.POST if is_post else request.GET).get("pattern", normalised_pattern(row.fragment_key))
    problem = _problem(asked)
    hits = None
    if not problem:
        hits = fields_hit(user_id=row.user_id, entity_type=row.entity_type, pattern=asked)
    lines = [
        line for line in patterns_ignored(user_id=row.user_id) if line.entity_type in ("", row.entity_type)
    ]
    return field_page(
        model_admin,
        request,
        "ignore",
        row,
        title=_now("Ignore names like %(field)s") % {"field": row.fragment_key},
        asked="" if problem and not is_storable_text(asked) else asked,
        problem=problem,
        hits=hits,
        listed=hits.names[:LISTED] if hits else (),
        unlisted=max(0, len(hits.names) - LISTED) if hits else 0,
        hits_this=bool(hits and row.fragment_key in hits.names),
        ignored=[(line, matching_pattern(row.fragment_key, [line.pattern]) is not None) for line in lines],
        form=form,
    )


def _problem(pattern: str) -> str:
    """Why the pattern cannot be used, in words."""
    if not is_storable_text(pattern):
        return _now("This is no text that a name could have.")
    problem = pattern_problem(pattern)
    return f"{problem[:1].upper()}{problem[1:]}." if problem else ""


def _is_done(request: HttpRequest, row: RawFragmentAggregate, form: IgnoreForm) -> bool:
    """Whether it is done; else the form says why not."""
    said = form.cleaned_data
    given: dict[str, Any] = {
        "pattern": said["pattern"],
        "user_id": row.user_id,
        "entity_type": "" if said["every_type"] else row.entity_type,
        "actor": actor_of(request),
        "reason": said["reason"],
    }
    try:
        if said["what"] == IGNORE:
            line = pattern_ignore(**given)
            messages.success(
                request, _now("Fields like %(pattern)s are not recommended.") % {"pattern": line.pattern}
            )
        elif pattern_recall(**given) is None:
            messages.info(request, _now("The pattern was not on the list; nothing was done."))
        else:
            messages.success(request, _now("The pattern is not on the list any more."))
    except DomainError as error:
        form_refused(form, error)
        return False
    return True
