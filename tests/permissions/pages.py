"""The addresses of the site: who gets what they show, and who may do what is done there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.urls import reverse

from fragments.models import LifecycleState, Promotion, RawFragmentAggregate
from registry.models import ExtensionRevision, SchemaVersion
from registry.selectors import schema_standing
from registry.services.proposal_apply import proposal_apply
from schemaevo.kernel.models import Erasure, SavedView
from schemaevo.kernel.pages.base import ReadOnlyAdmin
from schemaevo.kernel.pause import store_pause
from snapshots.domain.correction import value_seen
from tests.admin.addresses import OURS
from tests.factories import SHELL, THING
from tests.lifecycle import put
from tests.permissions.proposals import in_review, proposal_of, stale, written
from tests.permissions.scene import PASSWORD, SECRET, Scene
from tests.permissions.services import (
    ADDED,
    approved,
    archiving,
    mismatched,
    newest_act,
    promote,
    retracted,
    view_of,
)
from tests.permissions.table import OUTSIDE, TABLE, Role
from tests.proposals.approved import schema_admin


@dataclass(frozen=True)
class Page:
    """An address, by its name and what stands in it.

    `sees` is the row of whoever gets it, `does` that of whoever may post to it what `given` says, which changes
    something where it is allowed. An address without `does` takes nothing from anybody. `shown` is what those get who
    may see it; 405 says that there is nothing to see, for nobody. `first` is done before.
    """

    name: str
    sees: str
    does: str = ""
    args: Callable[[Scene], list[Any]] = lambda scene: []
    given: Callable[[Scene], dict[str, Any]] = lambda scene: {}
    query: Callable[[Scene], str] = lambda scene: ""
    shown: int = 200
    hidden: int = 403
    done: int = 302
    #: What is posted only looks, such as a form that is checked while it is typed.
    writes: bool = True
    #: What somebody keeps for themselves alone is in no audit log.
    audited: bool = True
    first: Callable[[Scene], object] = lambda scene: None
    #: What the address has less than the one of that name.
    without: str = ""

    def __str__(self) -> str:
        return self.name.removeprefix("admin:")

    def at(self, scene: Scene) -> str:
        return reverse(self.name, args=self.args(scene)).removesuffix(self.without) + self.query(scene)

    def answer(self, role: Role) -> int:
        """The status of a look at it. Four eyes bind what is done, and not what is seen."""
        if role in OUTSIDE:
            return 302
        return self.shown if self.shown == 405 or role in TABLE[self.sees].holders else self.hidden


def verb(name: str, does: str, args: Callable[[Scene], list[Any]] = lambda scene: [], **more: Any) -> Page:
    """An address that is only posted to."""
    return Page(name, does, does, args, shown=405, **more)


def decision(
    name: str, version: Callable[[Scene], SchemaVersion], number: Callable[[SchemaVersion], int]
) -> Page:
    """The address of a decision about a version, or about its schema: whoever decides has looked at what it changes."""

    def as_shown(scene: Scene) -> dict[str, Any]:
        row = version(scene)
        return {"shown": schema_standing(entity_type=row.entity_type, user_id=row.user_id).in_words}

    return Page(
        name, "activate schemas", "activate schemas", lambda scene: [number(version(scene))], as_shown
    )


def proposal_verb(
    action: str, does: str, first: Callable[[Scene], object] = written, *, sees: str = "", **given: str
) -> Page:
    """The address of what is done about a proposal: whoever posts to it was shown what the proposal says."""

    def as_shown(scene: Scene) -> dict[str, Any]:
        return {"content": proposal_of(scene).content_hash, "note": "so", **given}

    name = f"admin:registry_proposal_{action}"
    return Page(name, sees or does, does, lambda s: [proposal_of(s).pk], as_shown, first=first)


def field_verb(
    name: str,
    does: str,
    field: str = "smell",
    first: Callable[[Scene], object] = lambda scene: None,
    **given: str,
) -> Page:
    """The address of what is done about one undeclared field of the owner."""

    def aggregate(scene: Scene) -> list[Any]:
        rows = RawFragmentAggregate.objects.filter(fragment_key=field, user=scene.store.owner)
        # Where none waits before `first` is done, the address stands all the same.
        return [rows[0].pk if rows else 0]

    address = f"admin:fragments_rawfragmentaggregate_{name}"
    return Page(address, does, does, aggregate, lambda s: given, first=first)


NEW = "battery-staple-7"
NEW_PASSWORD = {"password1": NEW, "password2": NEW, "usable_password": "true", "set-password": "1"}


def login_form(scene: Scene, **changed: str) -> dict[str, str]:
    username = scene.store.other_login.username
    return {"username": username, "time_zone": "UTC", "is_active": "on", "is_staff": "on", **changed}


def note(scene: Scene) -> dict[str, str]:
    return {"note": "no"}


def approval(scene: Scene) -> dict[str, str]:
    return {"max_schemas": "20", "note": "fine"}


def in_bulk(does: str, scene: Scene) -> str:
    return f"?owner={scene.store.owner.username}&do={does}"


def newest_promotion(scene: Scene) -> list[int]:
    return [Promotion.objects.latest("pk").pk]


def newest_view(scene: Scene) -> list[int]:
    return [SavedView.objects.order_by("-pk").values_list("pk", flat=True).first() or 0]


#: A field that nothing declares yet, as an editor sends it.
TYPED = {
    "go": "save",
    "field-0-name": "a",
    "field-0-type": "string",
    "field-1-name": "typed",
    "field-1-type": "number",
}
EXTENDED = f"?type={THING}&owner=owner-of-it"

PAGES = [
    Page("admin:index", "sign in"),
    Page("dashboard_live", "sign in"),
    Page("admin:search", "sign in"),
    Page("admin:jsi18n", "sign in"),
    Page("admin:app_list", "see", args=lambda s: ["registry"], hidden=404),
    Page(
        "admin:autocomplete",
        "see",
        query=lambda s: "?app_label=fragments&model_name=deadletter&field_name=run",
    ),
    # --- people ---
    Page(
        "admin:password_change",
        "sign in",
        "change one's password",
        given=lambda s: {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW},
    ),
    Page("admin:password_change_done", "sign in"),
    Page(
        "admin:auth_user_password_change",
        "see users",
        "change users",
        lambda s: [s.store.other_login.pk],
        lambda s: NEW_PASSWORD,
    ),
    Page(
        "admin:kernel_user_add",
        "see users",
        "change users",
        given=lambda s: {**NEW_PASSWORD, "username": "new"},
    ),
    Page(
        "admin:kernel_user_change",
        "see users",
        "change users",
        lambda s: [s.store.other_login.pk],
        lambda s: login_form(s, time_zone="Europe/Vienna"),
    ),
    Page("admin:auth_group_add", "see users", "change users", given=lambda s: {"name": "auditor"}),
    Page(
        "admin:auth_group_change",
        "see users",
        "change users",
        lambda s: [Group.objects.get(name="viewer").pk],
        lambda s: {"name": "viewer", "permissions": []},
    ),
    # --- saved views ---
    Page("views", "sign in"),
    verb(
        "view_save",
        "save views",
        given=lambda s: {"list": "kernel_job", "name": "Failed", "query": "state=failed"},
        audited=False,
    ),
    verb(
        "view_rename",
        "change views",
        newest_view,
        given=lambda s: {"name": "Broken"},
        first=view_of,
        audited=False,
    ),
    verb("view_share", "share views", newest_view, first=view_of),
    verb("view_unshare", "change views", newest_view, first=lambda s: view_of(s, is_shared=True)),
    verb("view_delete", "change views", newest_view, first=view_of, audited=False),
    # --- erasure ---
    Page("admin:kernel_erasure_live", "see", args=lambda s: [Erasure.objects.all()[0].pk]),
    Page(
        "admin:kernel_erasure_erase",
        "erase",
        "erase",
        given=lambda s: {"reason": "they asked", "name": s.store.owner.username},
        query=lambda s: f"?owner={s.store.owner.pk}",
    ),
    Page(
        "admin:kernel_erasure_erase",
        "erase",
        "erase",
        given=lambda s: {"reason": "it was wrong", "name": s.store.snapshot.entity_key},
        query=lambda s: f"?entity={s.store.snapshot.pk}",
    ),
    # --- the switch, and jobs ---
    verb("pause", "pause everything"),
    verb("resume", "pause everything", first=lambda s: store_pause(actor=SHELL)),
    verb("admin:kernel_job_pause", "control jobs", lambda s: [s.store.job.pk]),
    verb("admin:kernel_job_cancel", "control jobs", lambda s: [s.store.job.pk]),
    verb("admin:kernel_job_resume", "control jobs", lambda s: [s.store.paused_job.pk]),
    verb("admin:kernel_job_retry", "control jobs", lambda s: [s.store.failed_job.pk]),
    Page("admin:kernel_job_live", "see", args=lambda s: [s.store.job.pk]),
    Page("admin:kernel_job_queues", "see"),
    # --- recomputation ---
    Page(
        "admin:snapshots_entitysnapshot_recompute",
        "control jobs",
        "control jobs",
        given=lambda s: {"type": THING, "owner": "", "what": "waiting"},
    ),
    # --- sources ---
    Page("admin:snapshots_source_live", "see", args=lambda s: [s.store.source.pk]),
    Page(
        "admin:snapshots_source_retract",
        "retract sources",
        "retract sources",
        lambda s: [s.store.source.pk],
        lambda s: {"reason": "the wrong file"},
    ),
    Page(
        "admin:snapshots_source_undo",
        "retract sources",
        "retract sources",
        lambda s: [s.store.source.pk],
        lambda s: {"reason": ""},
        first=retracted,
    ),
    # --- corrections ---
    Page(
        "admin:snapshots_entitysnapshot_correct",
        "correct values",
        "correct values",
        lambda s: [s.store.snapshot.pk],
        lambda s: {"field": "colour", "value": "x", "reason": "a mistake", "what": "preview"},
        done=200,
        writes=False,
    ),
    Page(
        "admin:snapshots_entitysnapshot_correct",
        "correct values",
        "correct values",
        lambda s: [s.store.snapshot.pk],
        lambda s: {
            "field": "colour",
            "value": "x",
            "reason": "a mistake",
            "seen": value_seen(SECRET),
            "what": "correct",
        },
        lambda s: "?field=colour",
    ),
    # --- fragments ---
    Page(
        "admin:fragments_rawfragment_restore",
        "restore fragments",
        "restore fragments",
        given=lambda s: {"owner": s.store.owner.username, "type": THING, "reason": "a mistake"},
        first=lambda s: put(LifecycleState.PENDING_DELETION),
    ),
    Page(
        "admin:fragments_rawfragmentaggregate_rebuild",
        "control jobs",
        "control jobs",
        given=lambda s: {"type": THING, "owner": s.store.owner.username},
    ),
    # --- acts in bulk ---
    Page(
        "admin:fragments_rawfragment_bulk",
        "archive fragments",
        "archive fragments",
        given=lambda s: {"reason": "old"},
        query=lambda s: "?owner=owner-of-it",
    ),
    *(
        Page(
            "admin:fragments_rawfragmentaggregate_bulk",
            does,
            does,
            given=lambda s: {"reason": "all of it"},
            query=partial(in_bulk, do),
        )
        for do, does in (("promote", "promote fields"), ("dismiss", "dismiss fields"))
    ),
    Page("admin:fragments_bulkact_live", "see", args=lambda s: [newest_act(s)]),
    *(
        verb(
            f"admin:fragments_bulkact_{does}",
            "archive fragments",
            lambda s: [newest_act(s)],
            first=archiving,
        )
        for does in ("cancel", "resume")
    ),
    field_verb("promote", "promote fields", type="string"),
    field_verb("dismiss", "dismiss fields", what="snooze", until="2100-01-01T00:00"),
    field_verb("ignore", "ignore fields", what="ignore", pattern="smell"),
    field_verb("archive", "archive fragments", reason="noise"),
    field_verb("converters", "extend schemas", "mine", mismatched, converter="number_to_string"),
    # --- lists as files: nothing is written, the log neither, before the file is read ---
    *(
        Page(f"admin:{name}_export", sees, sees, given=lambda s: {"format": "csv"}, done=200, writes=False)
        for name, sees in (
            ("snapshots_entitysnapshot", "see values"),
            ("snapshots_observation", "see values"),
            ("fragments_rawfragment", "see values"),
            ("fragments_rawfragmentaggregate", "see values"),
            ("fragments_fieldtotal", "see values"),
            ("fragments_deadletter", "see values"),
            ("kernel_auditevent", "see"),
        )
    ),
    # --- promotions and auto-enhancement ---
    Page("admin:fragments_promotion_live", "see", args=newest_promotion),
    Page(
        "admin:fragments_promotion_undo",
        "promote fields",
        "promote fields",
        newest_promotion,
        lambda s: {"note": "a mistake"},
        first=lambda s: promote(s, SHELL),
    ),
    Page(
        "admin:fragments_enhancementsetting_set",
        "set enhancement",
        "set enhancement",
        given=lambda s: {"owner": s.store.owner.username, "type": THING, "mode": "auto"},
    ),
    # --- schemas ---
    Page("admin:registry_schema_effective", "see", query=lambda s: "?type=thing"),
    Page("admin:registry_schema_compare", "see", args=lambda s: [s.store.own.schema_id]),
    Page("admin:registry_extensionrevision_conflicts", "see"),
    Page(
        "admin:registry_extensionrevision_compare",
        "see",
        args=lambda s: [ExtensionRevision.objects.all()[0].pk],
    ),
    decision("admin:registry_schemaversion_activate", lambda s: s.store.own_draft, lambda row: row.pk),
    decision("admin:registry_schemaversion_deactivate", lambda s: s.store.own, lambda row: row.pk),
    decision("admin:registry_schemaversion_retire", lambda s: s.store.own, lambda row: row.pk),
    decision("admin:registry_schema_retire", lambda s: s.store.own, lambda row: row.schema_id),
    # --- proposals ---
    Page(
        "admin:registry_proposal_draft",
        "draft proposals",
        "draft proposals",
        given=lambda s: {"entity_type": THING, "title": "More", "edits": json.dumps([ADDED])},
    ),
    proposal_verb("edit", "draft proposals", title="Another", edits=json.dumps([ADDED])),
    Page("admin:registry_proposal_live", "see", args=lambda s: [proposal_of(s).pk]),
    Page("admin:registry_proposal_report", "see", args=lambda s: [proposal_of(s).pk]),
    Page("admin:registry_proposal_report_json", "see", args=lambda s: [proposal_of(s).pk]),
    proposal_verb("submit", "draft proposals"),
    proposal_verb("try", "draft proposals"),
    proposal_verb("withdraw", "withdraw proposals"),
    proposal_verb("comment", "draft proposals", text="so"),
    proposal_verb("rebase", "draft proposals", stale),
    proposal_verb("approve", "approve proposals", in_review),
    proposal_verb("request_changes", "decide proposals", in_review),
    proposal_verb("reject", "decide proposals", in_review),
    proposal_verb("apply", "apply proposals", approved),
    proposal_verb(
        "undo",
        "apply proposals",
        lambda s: proposal_apply(proposal_id=approved(s).pk, actor=schema_admin()),
    ),
    # --- quotas ---
    verb("admin:registry_quotarequest_approve", "decide requests", lambda s: [s.request.pk], given=approval),
    verb("admin:registry_quotarequest_reject", "decide requests", lambda s: [s.request.pk], given=note),
    verb("admin:registry_quotarequest_withdraw", "withdraw", lambda s: [s.request.pk]),
    Page(
        "admin:registry_quotarequest_decide",
        "decide requests",
        "decide requests",
        given=lambda s: {"ids": [s.request.pk], "decision": "approve", "note": "all of you"},
        query=lambda s: f"?ids={s.request.pk}",
        done=200,
    ),
    Page("admin:registry_userquota_find", "see", query=lambda s: f"?owner={s.store.owner}", shown=302),
    Page(
        "admin:registry_userquota_ask",
        "ask for quota",
        "ask for quota",
        lambda s: [s.store.other_login.pk],
        lambda s: {"max_fields": "300", "note": "they grow"},
    ),
    Page(
        "admin:registry_userquota_maxima",
        "raise maxima",
        "raise maxima",
        lambda s: [s.store.owner.pk],
        lambda s: {"max_schemas": "20", "note": "by hand"},
    ),
    Page(
        "admin:registry_userquota_maxima",
        "lower maxima",
        "lower maxima",
        lambda s: [s.store.owner.pk],
        lambda s: {"max_schemas": "1", "note": "less"},
    ),
    # --- the editors ---
    Page(
        "admin:registry_schema_new",
        "register schemas",
        "register schemas",
        given=lambda s: {**TYPED, "entity_type": "typed_things", "base": ""},
    ),
    verb(
        "admin:registry_schema_new_check", "register schemas", given=lambda s: TYPED, done=200, writes=False
    ),
    Page(
        "admin:registry_schema_edit",
        "register schemas",
        "register schemas",
        lambda s: [s.store.own.schema_id],
        lambda s: {**TYPED, "base": s.store.own_draft.number},
    ),
    verb(
        "admin:registry_schema_edit_check",
        "register schemas",
        lambda s: [s.store.own.schema_id],
        given=lambda s: TYPED,
        done=200,
        writes=False,
    ),
    Page(
        "admin:registry_extensionrevision_edit",
        "extend schemas",
        "extend schemas",
        given=lambda s: {**TYPED, "base": str(s.store.extension.revision)},
        query=lambda s: EXTENDED,
    ),
    verb(
        "admin:registry_extensionrevision_edit_check",
        "extend schemas",
        given=lambda s: TYPED,
        query=lambda s: EXTENDED,
        done=200,
        writes=False,
    ),
    Page(
        "admin:registry_extensionrevision_edit_remove",
        "extend schemas",
        "extend schemas",
        given=lambda s: {"base": str(s.store.extension.revision)},
        query=lambda s: EXTENDED,
    ),
]

#: The models that have pages, and who may see them. By hand only users and roles are written, by the lines above.
SEEN: dict[str, str] = {
    "auth.group": "see users",
    "fragments.bulkact": "see",
    "fragments.deadletter": "see",
    "fragments.enhancement": "see",
    "fragments.enhancementsetting": "see",
    "fragments.fieldtotal": "see",
    "fragments.ingestrun": "see",
    "fragments.promotion": "see",
    "fragments.rawfragment": "see",
    "fragments.rawfragmentaggregate": "see",
    "kernel.auditevent": "see",
    "kernel.erasure": "see",
    "kernel.job": "see",
    "kernel.user": "see users",
    "kernel.verifyoutcome": "see",
    "registry.extensionrevision": "see",
    "registry.proposal": "see",
    "registry.quotanotice": "see",
    "registry.quotarequest": "see",
    "registry.schema": "see",
    "registry.schemacompatibility": "see",
    "registry.schemaversion": "see",
    "registry.userquota": "see",
    "snapshots.entitysnapshot": "see",
    "snapshots.observation": "see",
    "snapshots.source": "see",
}

#: Addresses that are for everybody, or for nobody, and why that is right.
FOR_EVERYBODY = {
    "": "leads to the admin",
    "admin/login/": "where one signs in",
    "admin/logout/": "who has not signed in is sent to the first page",
    "admin/r/<path:path>": "there is nothing, whoever asks",
    "admin/r/<path:content_type_id>/<path:object_id>/": "the one before stands in its place",
    "admin/(?P<url>.*)$": "there is nothing; a slash at the end is put right for who has signed in",
}


def registered() -> dict[str, type[Model]]:
    """The models that have pages, by label."""
    models = [model for model in admin.site._registry if model._meta.app_label in OURS | {"auth"}]
    return {model._meta.label_lower: model for model in models}


def pages_of(label: str) -> Iterator[Page]:
    """The pages that every model has, and that no line of PAGES is about."""
    model, sees = registered()[label], SEEN[label]
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"

    def one(scene: Scene) -> list[Any]:
        return [model._default_manager.all()[0].pk]

    yield Page(f"{name}_changelist", sees)
    yield Page(f"{name}_history", sees, args=one)
    yield Page(f"{name}_delete", "write by hand", args=one)
    # It leads to the page of the row, whoever may see that.
    yield Page(f"{name}_change", "sign in", args=one, shown=302, without="change/")
    if isinstance(admin.site._registry[model], ReadOnlyAdmin):
        yield Page(f"{name}_change", sees, args=one)
        yield Page(f"{name}_add", "write by hand")
