"""Pages of sources: what they show of a retraction, to whom, and in how many queries."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from fragments.models import RawFragment
from schemaevo.kernel.models import User
from snapshots.models import Retraction, Source
from tests.admin.addresses import list_of, page_of, verb_of
from tests.factories import make_definition, make_login, make_run, make_user, make_version
from tests.retractions import give_back, retract, settle, source_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    make_version(document=make_definition(k="string"))
    owner = make_user()
    for name in ("right", "wrong"):
        make_run(records=[{"k": "p", "x": name}], user=owner, source=name)
    return owner


@pytest.fixture
def admin_client(client: Client) -> Client:
    client.force_login(make_login(role="schema_admin"))
    return client


def text_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_lists_tell_what_takes_no_part(owner: User, admin_client: Client) -> None:
    retract(owner, "wrong")
    settle()
    shown = text_of(admin_client, f"{list_of(Source)}?retracted=1")
    assert shown.count("field-name") == 1
    assert str(source_of(owner, "wrong")) in shown
    source = Source.objects.get(name="wrong")
    assert "retracted" in text_of(admin_client, f"/admin/snapshots/observation/?source={source.pk}")
    fragment = RawFragment.objects.get(source=source)
    assert "retracted" in text_of(admin_client, page_of(fragment))
    run = make_run(records=[{"k": "p", "x": "again"}], user=owner, source="wrong")
    assert "of a retracted source" in text_of(admin_client, page_of(run)).lower()


def test_whoever_may_not_retract_is_shown_no_way_to_it(owner: User, client: Client) -> None:
    client.force_login(make_login(role="viewer"))
    source = Source.objects.get(name="wrong")
    shown = text_of(client, page_of(source))
    assert verb_of(Source, "retract", source.pk) not in shown
    assert "A schema admin can do it." in shown


def test_looking_at_the_preview_changes_nothing(owner: User, admin_client: Client) -> None:
    source = Source.objects.get(name="wrong")
    assert "What it comes to" in text_of(admin_client, verb_of(Source, "retract", source.pk))
    assert "The source is not retracted." in text_of(admin_client, verb_of(Source, "undo", source.pk))
    assert not Retraction.objects.exists()


def test_a_decision_that_comes_too_late_is_told_in_the_form(owner: User, admin_client: Client) -> None:
    source = Source.objects.get(name="wrong")
    retract(owner, "wrong")
    answer = admin_client.post(verb_of(Source, "retract", source.pk), {"reason": "so"})
    assert answer.status_code == 200
    assert "is retracted already" in answer.content.decode()
    assert Retraction.objects.count() == 1


def test_a_page_takes_as_many_queries_whatever_happened_to_the_source(
    owner: User, admin_client: Client
) -> None:
    source = Source.objects.get(name="wrong")

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            text_of(admin_client, page_of(source))
        return len(captured)

    queries()
    retract(owner, "wrong")
    settle()
    once = queries()
    for _ in range(3):
        give_back(owner, "wrong")
        settle()
        retract(owner, "wrong")
        settle()
    make_run(records=[{"k": f"q{n}", "x": n} for n in range(20)], user=owner, source="wrong")
    assert queries() == once
