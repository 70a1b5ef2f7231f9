"""The editor of schemas: the first version of a type, or the next one of a schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from registry.admin.editor_forms import NewSchemaForm, NoteForm, Shown, Typed
from registry.admin.editor_reviews import Review, review_of_registration
from registry.admin.editor_rows import Row, Rows, rows_of_definition
from registry.admin.editors import Editor, decoded
from registry.domain.definition import DEFAULT_KIND_ORDER, NO_FIELDS, Declaration, Definition
from registry.domain.diff import diff
from registry.domain.rebase import rebased
from registry.domain.validation import parse_definition
from registry.domain.vocabulary import FieldType
from registry.models import Schema, SchemaVersion
from registry.quota_displays import quota_warned
from registry.selectors import version_in_force
from registry.selectors_registration import (
    registration_preview,
    version_to_edit,
    versions_of,
)
from registry.services.schemas import schema_register
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.display import pretty

MAY_REGISTER = "registry.register_schema"


@dataclass(frozen=True, slots=True)
class SchemaSubject:
    """Whose schema of which type is edited. `schema` is None as long as there is none; of one that is not named yet,
    the type is empty."""

    entity_type: str
    owner: User | None
    schema: Schema | None = None

    @property
    def user_id(self) -> int | None:
        """The owner's number, None for the global schema."""
        return self.owner.pk if self.owner else None

    def versions(self) -> list[SchemaVersion]:
        """The versions that there are, the newest last."""
        if not self.entity_type:
            return []
        return versions_of(entity_type=self.entity_type, user_id=self.user_id)


class SchemaEditor(Editor[SchemaSubject]):
    """Definitions are typed and registered as drafts; putting one in force is another page's."""

    permission = MAY_REGISTER
    template = "admin/registry/editor/schema.html"

    @classmethod
    def urls(cls, model_admin: StoreAdmin) -> list[URLPattern]:
        """The addresses of the editor, before those of the rows."""
        editor, view = cls(model_admin), model_admin.admin_site.admin_view
        return [
            path("new/", view(editor.new_view), name="registry_schema_new"),
            path("new/check/", view(editor.new_check_view), name="registry_schema_new_check"),
            path("<int:schema_id>/edit/", view(editor.edit_view), name="registry_schema_edit"),
            path(
                "<int:schema_id>/edit/check/", view(editor.edit_check_view), name="registry_schema_edit_check"
            ),
        ]

    def new_view(self, request: HttpRequest) -> HttpResponseBase:
        """The first version of a schema is typed."""
        self.authorise(request)
        if request.method == "POST":
            form = NewSchemaForm(request.POST)
        else:
            form = NewSchemaForm(
                initial={
                    "entity_type": request.GET.get("type", ""),
                    "owner": request.GET.get("owner", ""),
                }
            )
        return self.respond(request, _named_by(form), form)

    def new_check_view(self, request: HttpRequest) -> HttpResponseBase:
        """What registering the first version would come to."""
        form = NewSchemaForm(request.POST)
        return self.check(request, lambda: _named_by(form), form)

    def edit_view(self, request: HttpRequest, schema_id: int) -> HttpResponseBase:
        """The next version of a schema is typed."""
        self.authorise(request)
        form = NoteForm(request.POST if request.method == "POST" else None)
        return self.respond(request, _subject(schema_id), form)

    def edit_check_view(self, request: HttpRequest, schema_id: int) -> HttpResponseBase:
        """What registering the next version would come to."""
        return self.check(request, lambda: _subject(schema_id))

    # --- what Editor asks -------------------------------------------------------------------------------
    def begun(self, subject: SchemaSubject) -> Typed:
        version = version_to_edit(subject.versions()) if subject.schema else None
        if version is None:
            return Typed(base="", rows=Rows(fields=[Row(type=FieldType.STRING.value)]))
        return _typed(version.parsed, base=version.number)

    def document(self, subject: SchemaSubject, typed: Typed) -> Json:
        return typed.rows.definition() if typed.shown is Shown.ROWS else decoded(typed)

    def rows_of(self, subject: SchemaSubject, document: Json) -> Rows | None:
        return rows_of_definition(parse_definition(document))

    def review(self, subject: SchemaSubject, typed: Typed, document: Json) -> Review:
        preview = registration_preview(
            entity_type=subject.entity_type,
            user_id=subject.user_id,
            document=document,
            base=typed.base,
        )
        review = review_of_registration(preview, typed.rows if typed.shown is Shown.ROWS else None)
        if preview.is_stale:
            was = preview.base.parsed if preview.base else NO_FIELDS
            review.stale = preview.present.number if preview.present else ""
            review.meanwhile = diff(was, preview.present.parsed if preview.present else NO_FIELDS)
        return review

    def save(
        self, request: HttpRequest, subject: SchemaSubject, document: Json, typed: Typed
    ) -> HttpResponse:
        registered = schema_register(
            entity_type=subject.entity_type,
            user_id=subject.user_id,
            document=document,
            actor=self.authorise(request),
            note=typed.note,
            base=typed.base,
        )
        number = registered.version.number
        if registered.created:
            messages.success(
                request, _("Version %(number)s is registered. It is not in force yet.") % {"number": number}
            )
        else:
            messages.info(
                request, _("Version %(number)s says the same; nothing was registered.") % {"number": number}
            )
        quota_warned(request, registered.warning, user_id=registered.version.user_id)
        return HttpResponseRedirect(
            reverse("admin:registry_schemaversion_change", args=[registered.version.pk])
        )

    def rebased(self, subject: SchemaSubject, typed: Typed) -> tuple[Typed, tuple[str, ...]]:
        mine = parse_definition(self.document(subject, typed))
        versions = subject.versions()
        base = next((version.parsed for version in versions if version.number == typed.base), NO_FIELDS)
        present = version_to_edit(versions)
        together, clashes = rebased(
            _by_field(base), _by_field(mine), _by_field(present.parsed if present else NO_FIELDS)
        )
        joined = _typed(
            _from_fields(together), base=present.number if present else "", shown=typed.shown, note=typed.note
        )
        return joined, clashes

    def newest_base(self, subject: SchemaSubject) -> str:
        present = version_to_edit(subject.versions())
        return present.number if present else ""

    def go_on_url(self, subject: SchemaSubject) -> str:
        # A schema that somebody else made meanwhile is edited on its own page.
        versions = [] if subject.schema else subject.versions()
        return reverse("admin:registry_schema_edit", args=[versions[0].schema_id]) if versions else ""

    def page_context(self, request: HttpRequest, subject: SchemaSubject, typed: Typed) -> dict[str, Any]:
        versions = subject.versions()
        schema = subject.schema
        urls = {
            "check_url": reverse("admin:registry_schema_new_check"),
            "back_url": reverse("admin:registry_schema_changelist"),
        }
        title = _("New schema")
        if schema is not None:
            urls["check_url"] = reverse("admin:registry_schema_edit_check", args=[schema.pk])
            urls["back_url"] = reverse("admin:registry_schema_change", args=[schema.pk])
            title = _("New version of %(schema)s") % {"schema": schema}
        is_global = subject.owner is None
        shared = None
        if subject.entity_type and not is_global:
            shared = version_in_force(entity_type=subject.entity_type, user_id=None)
        return {
            **urls,
            "title": title,
            "row": schema,
            "subject": subject,
            "is_reviewed": is_global and any(version.first_activated_at for version in versions),
            "to_extend": shared,
        }


def _subject(schema_id: int) -> SchemaSubject:
    schema = Schema.objects.select_related("user").filter(pk=schema_id).first()
    if schema is None:
        raise Http404
    return SchemaSubject(schema.entity_type, schema.user, schema)


def _named_by(form: NewSchemaForm) -> SchemaSubject:
    """The schema that a form names; of an unbound or wrong one, one that is not named yet."""
    if not form.is_bound or not form.is_valid():
        return SchemaSubject("", None)
    return SchemaSubject(form.cleaned_data["entity_type"], form.found)


def _typed(definition: Definition, *, base: str, shown: Shown = Shown.ROWS, note: str = "") -> Typed:
    """What is typed where this definition stands."""
    rows = rows_of_definition(definition)
    if rows is None or shown is Shown.JSON:
        return Typed(base=base, shown=Shown.JSON, text=pretty(definition.to_json()), note=note)
    return Typed(base=base, rows=rows, note=note)


def _by_field(definition: Definition) -> JsonObject:
    """A definition with everything about a field in one place, so that it is taken or left as one."""
    return {
        "fields": {name: definition.declaration(name).to_json() for name in definition.fields},
        "kinds": [*definition.kind_order],
    }


def _from_fields(document: JsonObject) -> Definition:
    declared = {
        name: Declaration.from_json(name, stored)
        for name, stored in cast("dict[str, JsonObject]", document["fields"]).items()
    }
    kinds = tuple(cast("list[str]", document["kinds"]))
    return Definition(
        fields={name: declaration.field for name, declaration in declared.items()},
        merge_policies={name: declaration.policy for name, declaration in declared.items()},
        observation_source_priority=None if kinds == DEFAULT_KIND_ORDER else kinds,
    )
