"""The editor of extensions: what one user adds to a global schema or overrides in it, and the way to take it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from registry.admin.advice import ADVICE
from registry.admin.editor_forms import NoteForm, OwnerForm, Shown, Typed
from registry.admin.editor_reviews import Review, review_of_extension
from registry.admin.editor_rows import Rows, row_of_declaration, rows_of_extension, type_of
from registry.admin.editors import Editor, decoded
from registry.domain.composition import compose
from registry.domain.diff import diff
from registry.domain.extension import EMPTY_EXTENSION, Extension, parse_extension
from registry.domain.rebase import rebased
from registry.errors import NothingToExtend
from registry.models import ExtensionRevision
from registry.quota_displays import quota_warned
from registry.selectors_extending import Ground, extension_ground, extension_preview
from registry.services.extensions import Extended, extension_remove, extension_save
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.display import pretty
from schemaevo.kernel.pages.verbs import form_refused, verb_page

MAY_EXTEND = "registry.extend_schema"


@dataclass(frozen=True, slots=True)
class ExtensionSubject:
    """Whose extension of which type is edited, and what it stands on."""

    entity_type: str
    owner: User
    ground: Ground

    @property
    def query(self) -> str:
        """What the addresses of this editor end in."""
        return urlencode({"type": self.entity_type, "owner": self.owner.get_username()})


class ExtensionEditor(Editor[ExtensionSubject]):
    """Additional fields and overrides are typed, and in force at once."""

    permission = MAY_EXTEND
    template = "admin/registry/editor/extension.html"

    @classmethod
    def urls(cls, model_admin: StoreAdmin) -> list[URLPattern]:
        """The addresses of the editor, before those of the rows."""
        editor, view = cls(model_admin), model_admin.admin_site.admin_view
        name = "registry_extensionrevision_edit"
        return [
            path("edit/", view(editor.edit_view), name=name),
            path("edit/check/", view(editor.check_view), name=f"{name}_check"),
            path("edit/remove/", view(editor.remove_view), name=f"{name}_remove"),
        ]

    def edit_view(self, request: HttpRequest) -> HttpResponseBase:
        """The extension that the address names is typed; of an address that names none, one is asked for."""
        self.authorise(request)
        asked = _asked(request)
        if not asked.is_bound or not asked.is_valid() or asked.found is None:
            return self._choice(request, asked)
        try:
            subject = _subject(asked)
        except NothingToExtend as error:
            asked.add_error(None, error.message)
            to_register = error.code == "no_global_schema" and request.user.has_perm(
                "registry.register_schema"
            )
            return self._choice(request, asked, to_register=to_register)
        form = NoteForm(request.POST if request.method == "POST" else None)
        return self.respond(request, subject, form)

    def check_view(self, request: HttpRequest) -> HttpResponseBase:
        """What saving the extension would come to."""
        return self.check(request, lambda: self._named(request))

    def remove_view(self, request: HttpRequest) -> HttpResponseBase:
        """The extension is taken back: shown on GET, done on POST."""
        actor = self.authorise(request)
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "POST"])
        subject = self._named(request)
        form = NoteForm(request.POST if request.method == "POST" else None)
        base = request.POST.get("base", "")
        if form.is_bound and form.is_valid():
            try:
                extended = extension_remove(
                    entity_type=subject.entity_type,
                    user_id=subject.owner.pk,
                    actor=actor,
                    base=_revision(base),
                    note=form.cleaned_data["note"],
                )
            except DomainError as error:
                form_refused(form, error)
            else:
                return _done(request, extended, _("The extension is taken back."))
        ground = subject.ground
        shared, said = ground.shared.parsed, ground.said
        return verb_page(
            self.model_admin,
            request,
            "admin/registry/editor/remove.html",
            title=_("Take back the extension"),
            form=form,
            subject=subject,
            changes=diff(compose(shared, said).definition, shared).in_words,
            said=said,
            edit_url=_url("edit", subject),
        )

    def _choice(self, request: HttpRequest, asked: OwnerForm, *, to_register: bool = False) -> HttpResponse:
        return verb_page(
            self.model_admin,
            request,
            "admin/registry/editor/choose.html",
            title=_("Edit an extension"),
            form=asked,
            to_register=to_register,
        )

    def _named(self, request: HttpRequest) -> ExtensionSubject:
        """The extension that the address names. Raises: Http404 where there is nothing to extend."""
        asked = _asked(request)
        if not asked.is_bound or not asked.is_valid() or asked.found is None:
            raise Http404
        try:
            return _subject(asked)
        except NothingToExtend as error:
            raise Http404(error.message) from error

    # --- what Editor asks -------------------------------------------------------------------------------
    def begun(self, subject: ExtensionSubject) -> Typed:
        return _typed(subject.ground.said, subject, base=self.newest_base(subject))

    def document(self, subject: ExtensionSubject, typed: Typed) -> Json:
        if typed.shown is Shown.JSON:
            return decoded(typed)
        shared = subject.ground.shared
        for row in typed.rows.overrides:
            # The type is the global schema's to say; it tells how values are read.
            row.type = type_of(shared.parsed, row.name)
        document = typed.rows.extension()
        present = subject.ground.present
        standing = rows_of_extension(present.parsed, shared.parsed) if present else None
        if present and standing and canonical_json(standing.extension()) == canonical_json(document):
            # Opened and saved as it is, it stays as it is.
            said = present.base_schema_version
            return {**document, "base_schema_version": said} if said else document
        return {**document, "base_schema_version": shared.number}

    def rows_of(self, subject: ExtensionSubject, document: Json) -> Rows | None:
        return rows_of_extension(parse_extension(document), subject.ground.shared.parsed)

    def review(self, subject: ExtensionSubject, typed: Typed, document: Json) -> Review:
        ground = subject.ground
        preview = extension_preview(ground=ground, user_id=subject.owner.pk, document=document)
        review = review_of_extension(preview, typed.rows if typed.shown is Shown.ROWS else None)
        review.base = typed.base if typed.base != "0" else ""
        if typed.base != self.newest_base(subject):
            shared = ground.shared.parsed
            was = compose(shared, _revision_said(subject, typed.base)).definition
            review.stale = self.newest_base(subject)
            review.meanwhile = diff(was, compose(shared, ground.said).definition)
        return review

    def save(
        self, request: HttpRequest, subject: ExtensionSubject, document: Json, typed: Typed
    ) -> HttpResponse:
        extended = extension_save(
            entity_type=subject.entity_type,
            user_id=subject.owner.pk,
            document=document,
            actor=self.authorise(request),
            base=_revision(typed.base),
            note=typed.note,
        )
        number = extended.revision.revision
        if extended.created:
            return _done(request, extended, _("Revision %(number)s is in force.") % {"number": number})
        return _done(
            request,
            extended,
            _("Revision %(number)s says the same; nothing has changed.") % {"number": number},
        )

    def rebased(self, subject: ExtensionSubject, typed: Typed) -> tuple[Typed, tuple[str, ...]]:
        mine = parse_extension(self.document(subject, typed))
        base = _revision_said(subject, typed.base)
        together, clashes = rebased(*(_says(one.to_json()) for one in (base, mine, subject.ground.said)))
        joined = _typed(
            Extension.from_json({**together, "base_schema_version": subject.ground.shared.number}),
            subject,
            base=self.newest_base(subject),
            shown=typed.shown,
            note=typed.note,
        )
        return joined, clashes

    def newest_base(self, subject: ExtensionSubject) -> str:
        return str(subject.ground.revision)

    def page_context(self, request: HttpRequest, subject: ExtensionSubject, typed: Typed) -> dict[str, Any]:
        ground = subject.ground
        shared = ground.shared.parsed
        present = ground.present
        standing = compose(shared, ground.said)
        overridden = {row.name for row in typed.rows.overrides}
        shared_rows = {name: row_of_declaration(shared.declaration(name)) for name in shared.fields}
        back = reverse("admin:registry_extensionrevision_changelist")
        if present is not None:
            back = reverse("admin:registry_extensionrevision_change", args=[present.pk])
        return {
            "title": _("Extension of %(type)s for %(owner)s")
            % {"type": subject.entity_type, "owner": subject.owner.get_username()},
            "row": present,
            "subject": subject,
            "check_url": _url("edit_check", subject),
            "remove_url": "" if ground.said.is_empty else _url("edit_remove", subject),
            "back_url": back,
            "shared_fields": [
                (shared.declaration(name), name in overridden) for name in sorted(shared.fields)
            ],
            "shared_data": {name: row.to_json() for name, row in shared_rows.items()},
            "shared_rows": shared_rows,
            "standing": [(conflict, ADVICE[conflict.code]) for conflict in standing.conflicts],
            "to_absorb": standing.absorbed,
        }


def _asked(request: HttpRequest) -> OwnerForm:
    """The type and owner that an address names."""
    if "type" not in request.GET and "owner" not in request.GET:
        return OwnerForm()
    return OwnerForm({"entity_type": request.GET.get("type", ""), "owner": request.GET.get("owner", "")})


def _subject(asked: OwnerForm) -> ExtensionSubject:
    """Raises: NothingToExtend."""
    entity_type, owner = asked.cleaned_data["entity_type"], asked.found
    if owner is None:
        raise Http404
    return ExtensionSubject(entity_type, owner, extension_ground(entity_type=entity_type, user_id=owner.pk))


def _url(verb: str, subject: ExtensionSubject) -> str:
    return f"{reverse(f'admin:registry_extensionrevision_{verb}')}?{subject.query}"


def _done(request: HttpRequest, extended: Extended, said: str) -> HttpResponse:
    tell = messages.success if extended.created else messages.info
    tell(request, said)
    quota_warned(request, extended.warning, user_id=extended.revision.user_id)
    return HttpResponseRedirect(
        reverse("admin:registry_extensionrevision_change", args=[extended.revision.pk])
    )


def _revision(text: str) -> int:
    """The revision that a form names. What no form of ours says is the number of none: -1."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _revision_said(subject: ExtensionSubject, base: str) -> Extension:
    found = ExtensionRevision.objects.filter(
        user=subject.owner, entity_type=subject.entity_type, revision=_revision(base)
    ).first()
    return found.parsed if found else EMPTY_EXTENSION


def _says(document: JsonObject) -> JsonObject:
    """What an extension says, without the version that it was written for."""
    return {key: value for key, value in document.items() if key != "base_schema_version"}


def _typed(
    said: Extension, subject: ExtensionSubject, *, base: str, shown: Shown = Shown.ROWS, note: str = ""
) -> Typed:
    """What is typed where this extension stands."""
    rows = rows_of_extension(said, subject.ground.shared.parsed)
    if rows is None or shown is Shown.JSON:
        return Typed(base=base, shown=Shown.JSON, text=pretty(said.to_json()), note=note)
    return Typed(base=base, rows=rows, note=note)
