"""Every list of the admin over a full store: its first and second page, its filters, a row of it, and the dashboard."""

from __future__ import annotations

import gc
import re
import statistics
import uuid
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from tests.admin.addresses import OURS, list_of, page_of, verb_of
from tests.benchmarks.figures import ROUNDS, Printer, seconds
from tests.benchmarks.full_store import EVERYWHERE, TABLES, FullStore, fill
from tests.benchmarks.histories import vacuum
from tests.benchmarks.records import ENTITY_TYPE
from tests.factories import make_login

TARGET_MS = 200
BACKEND = "django.contrib.auth.backends.ModelBackend"

#: What somebody types into the filters that offer nothing to pick; and then something that no row has.
TYPED = {
    "type": ENTITY_TYPE,
    "field": "field_0003_id",
    "key": "order-77",
    "name": "file-1",
    "kind": "import",
    "run": "3",
    "reason": "id_conflict",
    "received_from": "2020-01-01",
    "received_to": "2199-01-01",
    "seen_from": "2020-01-01",
    "seen_to": "2199-01-01",
    "who": "root",
    "what": "job.done",
    "target_type": "schema_version",
    "target": "7",
    "value_type": "string",
    "begins": "field_00",
    "owners": "3",
    "entity": str(uuid.UUID(int=1)),
    "source": str(uuid.UUID(int=1)),
    "verification": str(uuid.UUID(int=1)),
}
FIELD_VERBS = ("promote", "converters", "dismiss", "ignore", "archive")
BULK_OF_FIELDS = ("promote", "dismiss", "snooze")
BULK_OF_FRAGMENTS = ("archive", "restore")
#: What somebody looks for, by the list it is in; the others are asked for a name that nothing has.
LOOKED_FOR = {
    "rawfragment": "field_0003_id",
    "rawfragmentaggregate": "field_0003_id",
    "fieldtotal": "field_0003_id",
    "user": "shop-0001",
}


def test_pages_over_a_full_store(printer: Printer) -> None:
    store = fill()
    vacuum(*TABLES)
    client = _signed_in(store.superuser)
    # As schemaevo.wsgi does with what is loaded.
    gc.collect()
    gc.freeze()
    floor_s = _median(client, "/nowhere/", 404)
    slow = []
    for path in [*_paths(client, store), "/admin/"]:
        page_s = _median(client, path)
        slow += [path] if page_s * 1e3 > TARGET_MS else []
        _print(printer, path, page_s, floor_s)
    viewer = _signed_in(make_login(role="viewer"))
    _print(printer, "/admin/ of a viewer", _median(viewer, "/admin/"), floor_s)
    printer.figure("pages above the target", f"{len(slow)}", "", float(len(slow)), "0")


def _paths(client: Client, store: FullStore) -> Iterator[str]:
    for model in admin.site._registry:
        if model._meta.app_label in OURS | {"auth"}:
            yield from _of_list(client, model, store)
    yield reverse("admin:registry_extensionrevision_conflicts")
    conflicts = reverse("admin:registry_extensionrevision_conflicts")
    yield f"{conflicts}?{urlencode({'type': ENTITY_TYPE})}"
    effective = reverse("admin:registry_schema_effective")
    for owner in ("", store.large_owner, store.small_owner):
        yield f"{effective}?{urlencode({'type': ENTITY_TYPE, 'owner': owner})}"
    yield from _of_verbs(store)


def _of_list(client: Client, model: type[Model], store: FullStore) -> Iterator[str]:
    address = list_of(model)
    yield address
    html = client.get(address).content.decode()
    if further := re.search(r'<a[^>]*rel="next"[^>]*href="([^"]+)"', html):
        yield address + unescape(further.group(1))
    elif "?p=1" in html or "&amp;p=1" in html:
        yield f"{address}?p=1"
    if row := re.search(rf'href="({re.escape(address)}[^"/]+/change/)', html):
        yield row.group(1)
    shown_by: Any = admin.site._registry[model]
    if shown_by.search_fields:
        yield f"{address}?{urlencode({'q': LOOKED_FOR.get(str(model._meta.model_name), 'nothing')})}"
    for declared in shown_by.list_filter:
        for value in _values(declared, shown_by, store):
            yield f"{address}?{urlencode({declared.parameter_name: value})}"


def _values(declared: Any, shown_by: Any, store: FullStore) -> list[Any]:
    if declared.parameter_name == "owner":
        return [store.large_owner, store.small_owner, "nobody"]
    picks = declared.lookups(declared, None, shown_by) or ()
    return [value for value, _label in picks] or [TYPED[declared.parameter_name], "nothing"]


def _of_verbs(store: FullStore) -> Iterator[str]:
    """What verbs show before anything is done."""
    from fragments.models import (
        EnhancementSetting,
        FieldTotal,
        Promotion,
        RawFragment,
        RawFragmentAggregate,
    )
    from registry.models import ExtensionRevision, Proposal, QuotaRequest, Schema, SchemaVersion, UserQuota
    from schemaevo.kernel.models import User
    from snapshots.models import EntitySnapshot

    large = User.objects.get(username=store.large_owner)
    of_large = urlencode({"type": ENTITY_TYPE, "owner": store.large_owner})
    # What a field over all owners, and an owner's confidences, cost where there is most of them.
    yield page_of(FieldTotal.objects.get(fragment_key=EVERYWHERE))
    yield f"{list_of(RawFragmentAggregate)}?{of_large}&confidence=90"
    of_owner = RawFragmentAggregate.objects.filter(user=large)
    field = of_owner.latest("sample_count")
    yield page_of(field)
    yield from (verb_of(RawFragmentAggregate, verb, field.pk) for verb in FIELD_VERBS)
    for narrowed in ("", f"type={ENTITY_TYPE}", of_large, f"{of_large}&confidence=90"):
        yield from (
            f"{verb_of(RawFragmentAggregate, 'bulk')}?{narrowed}&do={verb}" for verb in BULK_OF_FIELDS
        )
    for narrowed in ("", f"type={ENTITY_TYPE}", of_large, "reason=id_conflict"):
        yield from (f"{verb_of(RawFragment, 'bulk')}?{narrowed}&do={verb}" for verb in BULK_OF_FRAGMENTS)
    yield f"{verb_of(EntitySnapshot, 'recompute')}?{of_large}"
    yield f"{verb_of(RawFragment, 'restore')}?{of_large}"
    yield f"{verb_of(RawFragmentAggregate, 'rebuild')}?{of_large}"
    yield verb_of(Promotion, "undo", Promotion.objects.latest("pk").pk)
    yield f"{verb_of(EnhancementSetting, 'set')}?{of_large}"
    shared = SchemaVersion.objects.get(entity_type=ENTITY_TYPE, user=None)
    own = SchemaVersion.objects.filter(user=large).order_by("pk")
    yield verb_of(Schema, "compare", own[0].schema_id)
    yield verb_of(Schema, "retire", shared.schema_id)
    yield verb_of(SchemaVersion, "deactivate", shared.pk)
    yield verb_of(SchemaVersion, "activate", own[0].pk)
    yield f"{verb_of(ExtensionRevision, 'edit')}?{of_large}"
    proposal = Proposal.objects.filter(state="in_review")[0]
    yield from (verb_of(Proposal, verb, proposal.pk) for verb in ("approve", "reject", "withdraw"))
    requests = QuotaRequest.objects.filter(state="pending").values_list("pk", flat=True)[:50]
    yield f"{verb_of(QuotaRequest, 'decide')}?{urlencode({'ids': list(requests)}, doseq=True)}"
    yield from (verb_of(UserQuota, verb, large.pk) for verb in ("change", "ask", "maxima"))


def _signed_in(login: Any) -> Client:
    client = Client()
    client.force_login(login, backend=BACKEND)
    return client


def _median(client: Client, path: str, status: int = 200) -> float:
    def look() -> None:
        answer = client.get(path)
        assert answer.status_code == status, f"{path} answered {answer.status_code}"

    look()
    return statistics.median(seconds(look) for _ in range(ROUNDS))


def _print(printer: Printer, path: str, page_s: float, floor_s: float) -> None:
    printer.figure(
        path.removeprefix("/admin/")[:66] or "dashboard",
        f"{page_s * 1e3:.0f} ms",
        f"{floor_s * 1e3:.1f} ms",
        page_s / floor_s,
        f"<= {TARGET_MS} ms",
    )
