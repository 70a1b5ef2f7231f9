"""The page on which a field is promoted, after it has told what that comes to."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from fragments.admin.field_verbs.asked import ReasonField, field_page
from fragments.domain.conversions import in_order
from fragments.domain.recommendation import Recommendation
from fragments.models import PromotionCause, RawFragmentAggregate
from fragments.selectors_recommendations import recommendation_of_field
from fragments.services.field_converters import MAY_CONVERT
from fragments.services.promotion_outlook import PromotionOutlook, promotion_outlook
from fragments.services.promotions import field_promote
from registry.admin.sides import sides_context
from registry.domain.converters import CONVERTERS
from registry.domain.definition import FieldType, Strategy
from registry.quota_displays import quota_warned
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of, may_see_values
from schemaevo.kernel.pages.verbs import form_refused

#: What each policy does, in the words of its choice.
STRATEGIES = {
    Strategy.LAST_WRITE: _("the newest counts"),
    Strategy.HIGHEST_PRIORITY: _("the most trusted counts"),
    Strategy.MOST_SPECIFIC: _("the most specific counts"),
    Strategy.MERGE_ARRAY: _("arrays are joined"),
}


class PromoteForm(forms.Form):
    """How the field is declared, and why."""

    type = forms.ChoiceField(
        choices=[(one.value, one.value) for one in FieldType],
        error_messages={"invalid_choice": _("There is no such type."), "required": _("Choose a type.")},
    )
    converter = forms.MultipleChoiceField(
        choices=[(name, name) for name in CONVERTERS],
        required=False,
        error_messages={"invalid_choice": _("There is no such converter.")},
    )
    strategy = forms.ChoiceField(
        choices=[(one.value, one.value) for one in Strategy],
        required=False,
        error_messages={"invalid_choice": _("There is no such merge policy.")},
    )
    note = ReasonField(help_text=_("Stands in the audit log, and on the page of the promotion."))

    @property
    def is_declaration(self) -> bool:
        """Whether it says how the field is declared, whatever is wrong with the reason."""
        return self.is_bound and not self.errors.keys() - {"note"}

    @property
    def left_out(self) -> list[str]:
        """Converters that are ticked and do not end in the type: whoever chose another type has left them so."""
        said = self.cleaned_data
        kind = said.get("type")
        return [name for name in said.get("converter", ()) if CONVERTERS[name].target.value != kind]

    @property
    def declaration(self) -> JsonObject:
        """The declaration as an additional field of an extension is written."""
        said = self.cleaned_data
        declaration: JsonObject = {
            "type": said["type"],
            # However they were ticked: in the order in which they have to be asked.
            "converters": [
                converter.to_json() for converter in in_order({*said["converter"]} - {*self.left_out})
            ],
        }
        if said["strategy"]:
            declaration["merge_policy"] = {"strategy": said["strategy"]}
        return declaration


def promote_page(model_admin: StoreAdmin, request: HttpRequest, row: RawFragmentAggregate) -> HttpResponse:
    """What declaring the field so would come to; on POST it is promoted, and the page of the promotion comes next."""
    found = recommendation_of_field(user_id=row.user_id, entity_type=row.entity_type, name=row.fragment_key)
    form = PromoteForm(_asked(request, found))
    if request.method == "POST" and form.is_valid():
        answer = _promoted(request, row, form)
        if answer is not None:
            return answer
    outlook = None
    if form.is_declaration:
        outlook = promotion_outlook(
            user_id=row.user_id,
            entity_type=row.entity_type,
            field=row.fragment_key,
            declaration=form.declaration,
        )
    sees_values = may_see_values(request)
    return field_page(
        model_admin,
        request,
        "promote",
        row,
        title=_now("Promote %(field)s") % {"field": row.fragment_key},
        found=found,
        form=form,
        chosen=_chosen(form),
        left_out=form.left_out if form.is_declaration else [],
        types=[one.value for one in FieldType],
        converters=[(name, spec.source.value, spec.target.value) for name, spec in CONVERTERS.items()],
        strategies=[(one.value, words) for one, words in STRATEGIES.items()],
        outlook=outlook,
        refusal_links=_links(request, row, outlook),
        **outlook_context(outlook, row.fragment_key, sees_values=sees_values),
    )


def outlook_context(outlook: PromotionOutlook | None, name: str, *, sees_values: bool) -> dict[str, Any]:
    """What the template of an outlook shows. Stored values are only handed on to those who may see them."""
    sides = outlook.declaring.sides if outlook and outlook.declaring else None
    sample = []
    for one in outlook.sample if outlook else ():
        before, after = one.fields[name]
        shown = (before.to_json(), after.to_json()) if sees_values else None
        sample.append((one.entity_id, one.entity_key, one.is_changed, shown))
    return {
        "compared": sides_context(sides) if sides else None,
        "sample": sample,
        "may_see_values": sees_values,
    }


def _links(
    request: HttpRequest, row: RawFragmentAggregate, outlook: PromotionOutlook | None
) -> list[tuple[str, Any]]:
    """Where something can be done about what it would be refused for."""
    links = []
    if outlook is not None:
        if outlook.refused_for("quota_exceeded") and request.user.has_perm("registry.request_quota"):
            ask = reverse("admin:registry_userquota_ask", args=[row.user_id])
            links.append((ask, _now("Ask for more quota")))
        if outlook.refused_for("already_declared") and request.user.has_perm(MAY_CONVERT):
            convert = reverse("admin:fragments_rawfragmentaggregate_converters", args=[row.pk])
            links.append((convert, _now("Add a converter")))
    return links


def _asked(request: HttpRequest, found: Recommendation | None) -> QueryDict:
    """What was chosen; before anything was, what is suggested."""
    if request.method == "POST":
        return request.POST
    if "type" in request.GET:
        return request.GET
    asked = QueryDict(mutable=True)
    if found is not None and found.suggested is not None:
        field = found.suggested.field
        asked["type"] = field.type.value
        asked.setlist("converter", [converter.function for converter in field.converters])
    return asked


def _chosen(form: PromoteForm) -> dict[str, Any]:
    """What the form says, so that it can be shown again, whether it makes sense or not."""
    left_out = form.left_out if form.is_declaration else []
    return {
        "type": form["type"].value() or "",
        "converter": [name for name in form["converter"].value() or [] if name not in left_out],
        "strategy": form["strategy"].value() or Strategy.LAST_WRITE.value,
    }


def _promoted(request: HttpRequest, row: RawFragmentAggregate, form: PromoteForm) -> HttpResponse | None:
    """The answer once it is promoted; else the form says why not."""
    try:
        promoted = field_promote(
            user_id=row.user_id,
            entity_type=row.entity_type,
            field=row.fragment_key,
            declaration=form.declaration,
            actor=actor_of(request),
            cause=PromotionCause.LOGIN,
            note=form.cleaned_data["note"],
        )
    except DomainError as error:
        form_refused(form, error)
        return None
    messages.success(request, _now("The field is declared. A job turns what waits of it into observations."))
    quota_warned(request, promoted.warning, user_id=row.user_id)
    return HttpResponseRedirect(reverse("admin:fragments_promotion_change", args=[promoted.promotion.pk]))
