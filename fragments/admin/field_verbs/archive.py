"""The page on which what waits of a field is archived."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _now
from django.utils.translation import ngettext

from fragments.admin.field_verbs.asked import ReasonForm, field_page, field_query, to_field
from fragments.models import LifecycleState, RawFragmentAggregate
from fragments.selectors_lifecycle import field_counted
from fragments.services.lifecycle import fragments_archive
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import form_refused

#: A page does not take longer than people wait; asked again, it goes on.
ARCHIVED_AT_ONCE = 20_000


def archive_page(model_admin: StoreAdmin, request: HttpRequest, row: RawFragmentAggregate) -> HttpResponse:
    """How many fragments there are in each state; on POST the active ones are archived, and the page of the field comes
    next."""
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and _is_archived(request, row, form):
        return to_field(row)
    counts = field_counted(user_id=row.user_id, entity_type=row.entity_type, fragment_key=row.fragment_key)
    active = counts[LifecycleState.ACTIVE]
    return field_page(
        model_admin,
        request,
        "archive",
        row,
        title=_now("Archive %(field)s") % {"field": row.fragment_key},
        counts=[(state, state.label, counts[state]) for state in LifecycleState],
        is_possible=active.value > 0,
        is_more=active.value > ARCHIVED_AT_ONCE,
        at_once=ARCHIVED_AT_ONCE,
        is_deletable=counts[LifecycleState.PENDING_DELETION].value > 0,
        restore_query=field_query(row),
        form=form,
    )


def _is_archived(request: HttpRequest, row: RawFragmentAggregate, form: ReasonForm) -> bool:
    """Whether it is done; else the form says why not."""
    try:
        count = fragments_archive(
            user_id=row.user_id,
            entity_type=row.entity_type,
            fragment_key=row.fragment_key,
            actor=actor_of(request),
            reason=form.cleaned_data["reason"],
            at_most=ARCHIVED_AT_ONCE,
        )
    except DomainError as error:
        form_refused(form, error)
        return False
    if count:
        messages.success(
            request,
            ngettext("%(n)s fragment is archived.", "%(n)s fragments are archived.", count) % {"n": count},
        )
    else:
        messages.info(request, _now("Nothing of the field is active; nothing was done."))
    return True
