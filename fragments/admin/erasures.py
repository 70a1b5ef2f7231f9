"""Pages of erasures: who was erased, how far it is, and the page on which superusers ask for it."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from fragments.selectors_erasures import COUNTED_AT_MOST, erasure_foreseen, erasure_job, erasure_of
from fragments.services.erasure import Asked, entity_erase, owner_erase
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import LIVE_JOB_STATES, Erasure, User
from schemaevo.kernel.narrowing import number_or_none
from schemaevo.kernel.pages.display import badge, moment, short
from schemaevo.kernel.pages.filters import OwnerFilter, PickFilter, uuid_or_none
from schemaevo.kernel.pages.job_progress import Progress
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import form_refused, verb_page
from snapshots.models import EntitySnapshot

REASON_MAX = 2_000


class ErasedOwnerFilter(OwnerFilter):
    title = _("owner")
    parameter_name = "owner"
    column = "user_id"


class DoneFilter(PickFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("running", _("running")), ("done", _("done"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.value() in {"running", "done"}:
            return queryset.filter(finished_at__isnull=self.value() == "running")
        return queryset


class EraseForm(forms.Form):
    """Why, and the name of who or what goes, typed by hand."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("Stays with the erasure. Name nobody in it, and quote no value."),
    )
    name = forms.CharField(
        label=_("Name"),
        # As it is: a key may begin or end with white space.
        strip=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, data: Any, *, name: str, is_entity: bool) -> None:
        super().__init__(data)
        self._name = name
        field = self.fields["name"]
        field.label = _("Key of the entity") if is_entity else _("User name of the owner")
        field.help_text = _("Type it to show that this is what you mean.")

    def clean_name(self) -> str:
        """Raises: ValidationError for any other name."""
        name: str = self.cleaned_data["name"]
        if name != self._name:
            raise forms.ValidationError(_("This is another name."))
        return name


@admin.register(Erasure)
class ErasureAdmin(KeysetAdmin):
    """Every erasure, newest first: of whom, how far it is, and how much went."""

    keyset = Keyset(("-id",))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",)}
    nothing_yet = _("Nobody was erased yet. An owner is erased from their own page, an entity from its page.")
    begins_at = (_("Users"), "admin:kernel_user_changelist")
    list_display = ("number", "owner", "what", "shown_state", "asked_by", "asked", "finished")
    list_filter = (ErasedOwnerFilter, DoneFilter)
    search_fields = ("=id",)
    search_help_text = _("Number of an erasure")
    change_form_outer_before_template = "admin/kernel/erasure/page.html"

    class Media:
        js = (Script("schemaevo/live.js", defer=True),)

    def get_urls(self) -> list[URLPattern]:
        """What a page follows, and the page on which an erasure is asked for, before the addresses of the rows."""
        view = self.admin_site.admin_view
        return [
            path("erase/", view(self.erase_view), name="kernel_erasure_erase"),
            path("<int:erasure_id>/live/", view(self.live_view), name="kernel_erasure_live"),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything, and follows it."""
        return ()

    def page_context(self, request: HttpRequest, erasure: Erasure) -> dict[str, Any]:
        job = erasure_job(erasure)
        is_live = job is not None and job.state in LIVE_JOB_STATES
        return {
            "erasure": erasure,
            "state": state_badge(erasure),
            "owner": erasure.user.get_username(),
            "counts": sorted(erasure.counts.items()),
            "job": job,
            "progress": Progress.of(job, timezone.now()) if job is not None and is_live else None,
            "is_over": erasure.is_done or not is_live,
        }

    def live_view(self, request: HttpRequest, erasure_id: int) -> HttpResponse:
        """What the page of the erasure shows now, without the page around it, for a page that follows it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        erasure = self.get_object(request, str(erasure_id))
        if erasure is None:
            raise Http404
        return render(request, "admin/kernel/erasure/pieces.html", self.page_context(request, erasure))

    def erase_view(self, request: HttpRequest) -> HttpResponse:
        """What would go on GET; on POST the erasure is asked for, and its page comes next."""
        return erase_page(self, request)

    @admin.display(description=_("number"))
    def number(self, erasure: Erasure) -> str:
        return f"#{erasure.pk}"

    @admin.display(description=_("owner"))
    def owner(self, erasure: Erasure) -> SafeString:
        return short(erasure.user.get_username())

    @admin.display(description=_("what went"))
    def what(self, erasure: Erasure) -> str:
        if erasure.entity_id is None:
            return _now("the owner")
        return _now("an entity of %(type)s") % {"type": erasure.entity_type}

    @admin.display(description=_("state"))
    def shown_state(self, erasure: Erasure) -> SafeString:
        return state_badge(erasure)

    @admin.display(description=_("asked for by"))
    def asked_by(self, erasure: Erasure) -> SafeString:
        return short(erasure.requested_by_name)

    @admin.display(description=_("asked for"))
    def asked(self, erasure: Erasure) -> SafeString:
        return moment(erasure.requested_at)

    @admin.display(description=_("finished"))
    def finished(self, erasure: Erasure) -> SafeString:
        return moment(erasure.finished_at)


def is_superuser(request: HttpRequest) -> bool:
    """Whether the login may do what no role is ever given."""
    return bool(request.user.is_active and request.user.is_superuser)


def state_badge(erasure: Erasure) -> SafeString:
    """Whether it is done."""
    return badge(_("done"), "good") if erasure.is_done else badge(_("running"), "busy")


def erase_page(model_admin: ErasureAdmin, request: HttpRequest) -> HttpResponse:
    """What goes with an owner, or with one entity of theirs, and the form that asks for it."""
    if not is_superuser(request):
        raise PermissionDenied
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    owner, entity = _meant(request)
    known = erasure_of(user_id=owner.pk)
    name = owner.get_username() if entity is None else entity.entity_key
    form = EraseForm(
        request.POST if request.method == "POST" else None, name=name, is_entity=entity is not None
    )
    if form.is_bound and form.is_valid():
        asked = _asked(request, owner, entity, form)
        if asked is not None:
            messages.success(request, _now("It is being erased. This page follows it."))
            return HttpResponseRedirect(reverse("admin:kernel_erasure_change", args=[asked.erasure.pk]))
    identity = None if entity is None else UUID(str(entity.pk))
    rows = erasure_foreseen(user_id=owner.pk, entity=identity, at_most=COUNTED_AT_MOST)
    return verb_page(
        model_admin,
        request,
        "admin/kernel/erasure/erase.html",
        title=_now("Erase an owner") if entity is None else _now("Erase an entity"),
        owner=owner,
        entity=entity,
        name=name,
        rows=rows,
        known=known,
        form=form,
    )


def _meant(request: HttpRequest) -> tuple[User, EntitySnapshot | None]:
    """The owner, or the entity with its owner, that the address names. Raises: Http404."""
    given = request.GET.get("entity", "")
    entity: EntitySnapshot | None = None
    number = number_or_none(request.GET.get("owner", ""))
    if given:
        identity = uuid_or_none(given)
        entity = (
            EntitySnapshot.objects.only("pk", "user_id", "entity_type", "entity_key")
            .filter(pk__in=[identity] if identity else [])
            .first()
        )
        if entity is None:
            raise Http404
        number = entity.user_id
    owner = None if number is None else User.objects.filter(pk=number).first()
    if owner is None:
        raise Http404
    return owner, entity


def _asked(request: HttpRequest, owner: User, entity: EntitySnapshot | None, form: EraseForm) -> Asked | None:
    """The erasure that is asked for; else the form says why it is not."""
    reason = form.cleaned_data["reason"]
    actor = actor_of(request)
    try:
        if entity is None:
            return owner_erase(user_id=owner.pk, reason=reason, actor=actor)
        return entity_erase(
            user_id=owner.pk,
            entity_type=entity.entity_type,
            entity_key=entity.entity_key,
            reason=reason,
            actor=actor,
        )
    except DomainError as error:
        form_refused(form, error, reason_missing="reason")
        return None
