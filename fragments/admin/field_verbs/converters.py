"""The page on which a declared field gets converters for what waits of it because it does not fit."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from fragments.admin.field_verbs.asked import ReasonField, field_page, owner_said
from fragments.admin.field_verbs.promote import outlook_context
from fragments.models import RawFragmentAggregate
from fragments.selectors_field_converters import ConvertersTold, converters_told, with_converters
from fragments.selectors_promotion_jobs import jobs_moving
from fragments.services.field_converters import field_converters_add
from fragments.services.promotion_outlook import converters_outlook
from registry.domain.converters import CONVERTERS
from registry.quota_displays import quota_warned
from registry.selectors import schema_standing
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.job_progress import Progress
from schemaevo.kernel.pages.rights import actor_of, may_see_values
from schemaevo.kernel.pages.verbs import form_refused


class ConvertersForm(forms.Form):
    """Which converters the field is to have as well, and why."""

    converter = forms.MultipleChoiceField(
        choices=[(name, name) for name in CONVERTERS],
        error_messages={
            "invalid_choice": _("There is no such converter."),
            "required": _("Choose at least one converter."),
        },
    )
    note = ReasonField(help_text=_("Stands in the audit log, and with the new version or revision."))


def converters_page(model_admin: StoreAdmin, request: HttpRequest, row: RawFragmentAggregate) -> HttpResponse:
    """What each converter would make of what waits, and what the chosen ones come to; on POST the field has them, and
    this page tells of the job that follows."""
    is_post = request.method == "POST"
    standing = schema_standing(entity_type=row.entity_type, user_id=row.user_id)
    name = row.fragment_key
    told = converters_told(standing=standing, user_id=row.user_id, entity_type=row.entity_type, field=name)
    given = request.POST if is_post else request.GET
    form = ConvertersForm(given if is_post or "converter" in given else None)
    if is_post and form.is_valid() and _is_added(request, row, form):
        return HttpResponseRedirect(request.path)
    outlook = None
    # Whatever is wrong with the reason, which is shown again with what it comes to.
    if told is not None and form.is_bound and "converter" not in form.errors:
        outlook = converters_outlook(
            standing=standing,
            user_id=row.user_id,
            entity_type=row.entity_type,
            declared=with_converters(told.declared, form.cleaned_data["converter"]),
        )
    return field_page(
        model_admin,
        request,
        "converters",
        row,
        title=_now("Add a converter to %(field)s") % {"field": name},
        told=told,
        refusal=told.refusal if told else None,
        reads=_reads(told),
        chosen=_chosen(form, told),
        form=form,
        outlook=outlook,
        at_work=[
            (job, Progress.of(job, timezone.now()))
            for job in jobs_moving(entity_type=row.entity_type, user_id=row.user_id)
        ],
        propose_url=f"{reverse('admin:registry_proposal_draft')}?{urlencode({'type': row.entity_type})}",
        extend_url=f"{reverse('admin:registry_extensionrevision_edit')}?"
        + urlencode({"type": row.entity_type, "owner": owner_said(row)}),
        **outlook_context(outlook, name, sees_values=may_see_values(request)),
    )


def _reads(told: ConvertersTold | None) -> list[tuple[str, str, int, bool]]:
    """Each converter with what it reads, of how many values, and whether counts and samples suggest it."""
    if told is None:
        return []
    suggested = told.suggested.suggested if told.suggested else {}
    return [
        (name, CONVERTERS[name].source.value, count, name in suggested) for name, count in told.reads.items()
    ]


def _chosen(form: ConvertersForm, told: ConvertersTold | None) -> list[str]:
    """What the form says; before anything was chosen, those that read anything."""
    if form.is_bound:
        return list(form["converter"].value() or [])
    return [name for name, count in told.reads.items() if count] if told else []


def _is_added(request: HttpRequest, row: RawFragmentAggregate, form: ConvertersForm) -> bool:
    """Whether it is done; else the form says why not."""
    said: dict[str, Any] = form.cleaned_data
    try:
        warning = field_converters_add(
            user_id=row.user_id,
            entity_type=row.entity_type,
            field=row.fragment_key,
            converters=said["converter"],
            actor=actor_of(request),
            note=said["note"],
        )
    except DomainError as error:
        form_refused(form, error)
        return False
    messages.success(request, _now("The field has the converters. A job looks again at what waits of it."))
    quota_warned(request, warning, user_id=row.user_id)
    return True
