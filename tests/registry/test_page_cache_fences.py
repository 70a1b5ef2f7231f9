"""Nothing that writes or decides reads through the page cache, and what is cached is only written as it must be."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.utils import timezone

import registry.services
from registry.domain.extension import parse_extension
from registry.models import Proposal, QuotaGrant, SchemaVersion
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from registry.services.compatibility import compatibility_set
from registry.services.extensions import (
    extension_add_fields,
    extension_remove,
    extension_remove_fields,
    extension_save,
)
from registry.services.proposal_apply import proposal_apply, proposal_undo
from registry.services.proposal_reviews import proposal_approve, proposal_reject, proposal_request_changes
from registry.services.proposal_trials import trial_request
from registry.services.proposal_upkeep import proposals_expire
from registry.services.proposals import (
    proposal_comment,
    proposal_draft,
    proposal_edit,
    proposal_rebase,
    proposal_submit,
    proposal_withdraw,
)
from registry.services.proposals_found import proposal_faded, proposal_found
from registry.services.quota_requests import (
    quota_request_approve,
    quota_request_reject,
    quota_request_withdraw,
    quota_requests_decide,
)
from registry.services.quotas import quota_grants_expire, quota_recount, quotas_repair
from registry.services.schemas import schema_register, schema_update
from registry.services.verify import quotas_verify_repair
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, User
from schemaevo.kernel.pages.cache_backend import PageCache
from schemaevo.kernel.pages.cached import cached_reads
from schemaevo.kernel.verification import Finding
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_file,
    make_login,
    make_maximum,
    make_quota_request,
    make_run,
    make_user,
    make_version,
)
from tests.proposals.approved import schema_admin
from tests.registry.commands import said, written

PROJECT = Path(__file__).resolve().parents[2]
CACHED = settings.SCHEMAEVO_PAGE_CACHE_TABLES
DOCUMENT = make_definition(a="string", b="number")
ADDITIONAL: JsonObject = {"additional_fields": {"own": {"type": "number"}}}

_WRITE = re.compile(
    rf"\b(?:insert\s+into|update|delete\s+from|truncate(?:\s+table)?|copy|merge\s+into)\s+(?:only\s+)?\"?({'|'.join(CACHED)})\b",
    re.IGNORECASE,
)


@dataclass
class Watched:
    """What was done while it was watched: writes of cached tables, and which functions ran."""

    tables: set[str] = field(default_factory=set)
    outside: list[str] = field(default_factory=list)
    unnoticed: list[str] = field(default_factory=list)
    ran: set[CodeType] = field(default_factory=set)
    asked: int = 0


@contextmanager
def watched() -> Iterator[Watched]:
    seen = Watched()

    def look(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if isinstance(sql, str) and (found := _WRITE.search(sql)):
            seen.tables.add(found[1].lower())
            if not context["connection"].in_atomic_block:
                seen.outside.append(sql)
            # cachalot sets it while the ORM executes, which is what it notices.
            if getattr(context["connection"], "raw", True):
                seen.unnoticed.append(sql)
        return execute(sql, params, many, context)

    def ran(frame: FrameType, event: str, _given: object) -> None:
        if event == "call":
            seen.ran.add(frame.f_code)

    before = PageCache.figures().asked
    sys.setprofile(ran)
    try:
        with connection.execute_wrapper(look):
            yield seen
    finally:
        sys.setprofile(None)
    seen.asked = PageCache.figures().asked - before


def every_service() -> None:
    """Whatever the registry can be told to do, is done."""
    ada, eve = make_user(username="ada"), make_user(username="eve")
    one = schema_register(entity_type=THING, document=DOCUMENT, actor=SHELL).version
    schema_activate(version_id=one.pk, actor=SHELL)
    edits: Json = [{"op": "add_field", "field": "c", "declaration": {"type": "string"}}]
    two = schema_update(entity_type=THING, edits=edits, base=one.number, actor=SHELL).version
    compatibility_set(entity_type=THING, mode="NONE", actor=SHELL)

    extension_save(entity_type=THING, user_id=ada.pk, document=ADDITIONAL, actor=SHELL)
    more = parse_extension({"additional_fields": {"c": {"type": "string"}, "d": {"type": "string"}}})
    declared = [more.declaration(name) for name in ("c", "d")]
    extension_add_fields(entity_type=THING, user_id=ada.pk, declarations=declared, actor=SHELL)
    extension_remove_fields(entity_type=THING, user_id=ada.pk, names=["d"], actor=SHELL)
    own = schema_register(entity_type="other", document=DOCUMENT, user_id=eve.pk, actor=SHELL).version
    schema_activate(version_id=own.pk, actor=SHELL)
    make_version(document=make_definition(a="string"), entity_type="other")  # to be adopted
    make_run(user=ada, records=[{"k": "x", "a": "1", "own": 5, "z": 1}, {"k": "y", "b": "no"}])

    schema_activate(version_id=two.pk, actor=SHELL, without_review="tested")  # absorbs `c`
    assert _run_the_jobs() >= {"settle_extensions", "recompute_snapshots"}
    extension_remove(entity_type=THING, user_id=ada.pk, actor=SHELL)
    schema_deactivate(entity_type=THING, user_id=None, actor=SHELL, without_review="tested")
    schema_retire(entity_type=THING, user_id=None, actor=SHELL)
    _proposals(ada)
    _quotas(ada)


def _proposals(ada: User) -> None:
    """One that is applied and undone, and others that end otherwise."""
    kind = "third"
    make_version(document=make_definition(a="string"), entity_type=kind)
    extension_save(entity_type=kind, user_id=ada.pk, document=ADDITIONAL, actor=SHELL)
    author, reviewer = schema_admin(), schema_admin()
    one = _drafted(kind, author)
    proposal_comment(proposal_id=one, actor=reviewer, text="why?")
    proposal_edit(proposal_id=one, actor=author, title="More")
    proposal_submit(proposal_id=one, actor=author)
    decided: Any = {"proposal_id": one, "actor": reviewer, "note": "so"}
    proposal_request_changes(**decided, content_hash=_content(one))
    proposal_submit(proposal_id=one, actor=author)
    trial_request(proposal_id=one, actor=author)
    assert _run_the_jobs() >= {"try_proposal"}
    proposal_approve(**decided, content_hash=_content(one))
    stale, withdrawn, rejected = (_drafted(kind, author) for _ in range(3))
    proposal_withdraw(proposal_id=withdrawn, actor=author)
    proposal_submit(proposal_id=rejected, actor=author)
    proposal_reject(proposal_id=rejected, actor=reviewer, content_hash=_content(rejected), note="no")
    proposal_apply(proposal_id=one, actor=author)
    assert _run_the_jobs() >= {"settle_extensions"}
    proposal_undo(proposal_id=one, actor=author)
    assert _run_the_jobs() >= {"restore_extensions"}
    proposal_rebase(proposal_id=stale, actor=author)
    told: Any = {"entity_type": kind, "subject": "z", "actor": SHELL}
    edits: list[Json] = [{"op": "add_field", "field": "z", "declaration": {"type": "string"}}]
    evidence: JsonObject = {"pattern": "field", "eligible": True, "users": 10}
    proposal_found(**told, title="Add z", reason="many have it", edits=edits, evidence=evidence)
    proposal_faded(**told, evidence={**evidence, "eligible": False})
    proposals_expire(actor=SHELL)


def _drafted(entity_type: str, author: Actor) -> int:
    edits: Json = [{"op": "add_field", "field": "own", "declaration": {"type": "number"}}]
    return proposal_draft(entity_type=entity_type, title="Add it", edits=edits, actor=author).pk


def _content(proposal_id: int) -> str:
    return Proposal.objects.get(pk=proposal_id).content_hash


def _run_the_jobs() -> set[str]:
    ran = set()
    while job := Job.objects.filter(state="pending").order_by("requested_at").first():
        run_job(str(job.pk))
        ran.add(job.kind)
    return ran


def _quotas(owner: User) -> None:
    admin = Actor.login(make_login(is_superuser=True))
    asker = make_login(is_superuser=True)
    asked = [
        make_quota_request(user=make_user(), asker=asker, max_schemas=20 + number) for number in range(4)
    ]
    soon = timezone.now() + timedelta(days=1)
    quota_request_approve(request_id=asked[0].pk, actor=admin, until=soon)
    quota_request_reject(request_id=asked[1].pk, actor=admin, note="no")
    quota_request_withdraw(request_id=asked[2].pk, actor=Actor.login(asker))
    quota_requests_decide(request_ids=[asked[3].pk], decision="approve", actor=admin, note="yes")
    make_maximum(user=owner, max_schemas=30)
    quota_grants_expire(actor=SHELL)
    quota_recount(user_id=owner.pk, actor=SHELL)
    list(quotas_repair(actor=SHELL))
    quotas_verify_repair(SHELL, Finding("", {"user_id": owner.pk}))
    assert QuotaGrant.objects.exists()


def services_with_actor() -> dict[str, CodeType]:
    """Every public function of this floor's services that acts in somebody's name."""
    found = {}
    for info in pkgutil.iter_modules(registry.services.__path__):
        module = importlib.import_module(f"registry.services.{info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            bare = inspect.unwrap(function)
            is_its_own = bare.__module__ == module.__name__ and not name.startswith("_")
            if is_its_own and "actor" in inspect.signature(bare).parameters:
                found[f"{info.name}.{name}"] = bare.__code__
    return found


# --- services, jobs and commands -------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_no_service_and_no_job_reads_through_the_page_cache() -> None:
    with watched() as seen:
        every_service()
    left = {name for name, code in services_with_actor().items() if code not in seen.ran}
    assert left == set(), "services that every_service() does not run: give each of them a line there"
    assert seen.asked == 0


@pytest.mark.django_db(transaction=True)
def test_the_instrument_sees_a_read_through_the_page_cache() -> None:
    with watched() as seen, cached_reads():
        list(SchemaVersion.objects.all())
    assert seen.asked == 1


@pytest.mark.django_db(transaction=True)
def test_no_command_reads_through_the_page_cache(tmp_path: Path) -> None:
    make_user(username="ada")
    schema = written(tmp_path / "schema.json", DOCUMENT)
    extension = written(tmp_path / "extension.json", ADDITIONAL)
    records = str(make_file(path=tmp_path / "records.jsonl", records=[{"k": "x", "a": "1", "own": 5}]))
    with watched() as seen:
        said("register_schema", schema, "--entity-type", THING, "--activate")
        said("extend_schema", extension, "--entity-type", THING, "--user", "ada")
        said("ingest", records, "--entity-type", THING, "--user", "ada", "--key-field", "k")
        said("show_schema", THING, "--user", "ada")
        said("show_schema", THING, "--conflicts")
        said("export_schema", THING)
        said("diff_schema", THING, "1.0.0", "active")
        said("show_quota", "ada")
        said("settle_extensions", THING)
        said("show_snapshot", THING, "x", "--user", "ada")
        said("verify", "--all")
        said("retire_schema", THING, "--without-review", "tested")
    assert seen.asked == 0
    assert seen.tables


# --- how cached tables are written -------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_cached_tables_are_written_in_transactions_and_by_the_orm_alone() -> None:
    with watched() as seen:
        every_service()
    assert seen.outside == []
    assert seen.unnoticed == []
    assert seen.tables == set(CACHED)


@pytest.mark.django_db(transaction=True)
def test_the_instrument_sees_what_is_written_outside_of_a_transaction_or_by_sql() -> None:
    version = make_version(document=DOCUMENT)
    with watched() as seen:
        SchemaVersion.objects.filter(pk=version.pk).update(is_active=False)
    assert (len(seen.outside), len(seen.unnoticed)) == (1, 0)
    with watched() as seen, connection.cursor() as cursor:
        cursor.execute("UPDATE schema_registry SET is_active = true")
    assert (len(seen.outside), len(seen.unnoticed)) == (1, 1)


@pytest.mark.django_db
def test_no_trigger_writes_a_cached_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
        )
        functions = dict(cursor.fetchall())
    assert len(functions) > 10
    assert [name for name, source in functions.items() if _WRITE.search(source)] == []
    # But others they do write, which is why those are not cached.
    assert any("INTO schema_epochs" in source for source in functions.values())


def test_no_code_writes_a_cached_table_by_sql() -> None:
    sources = [path for root in ROOTS for kind in ("*.py", "*.sql") for path in (PROJECT / root).rglob(kind)]
    assert len(sources) > 100
    assert [str(path) for path in sources if _WRITE.search(path.read_text(encoding="utf-8"))] == []


def test_what_is_cached_are_tables_of_the_registry_that_pages_list() -> None:
    tables = {model._meta.db_table for model in apps.get_app_config("registry").get_models()}
    never = {"user_schema_quotas", "quota_requests", "quota_grants", "quota_notices", "schema_epochs"}
    assert tables >= {*CACHED, *never}
    assert not never & {*CACHED}


# --- who may ask for it -----------------------------------------------------------------------------------
ROOTS = ("schemaevo", "registry", "snapshots", "fragments")
#: Besides where it is made.
ASKING = {"schemaevo/dashboard.py", "schemaevo/kernel/pages/base.py"}
MADE = {
    "schemaevo/kernel/pages/cached.py",
    "schemaevo/kernel/pages/cache_backend.py",
    "schemaevo/kernel/apps.py",
}


def naming(text: str) -> set[str]:
    paths = [path for root in ROOTS for path in (PROJECT / root).rglob("*.py")]
    return {
        path.relative_to(PROJECT).as_posix() for path in paths if text in path.read_text(encoding="utf-8")
    } - MADE


def test_only_lists_and_the_dashboard_ask_for_the_page_cache() -> None:
    assert naming("cached_reads") == ASKING
    assert naming("cachalot") - {"schemaevo/settings.py"} == set()
