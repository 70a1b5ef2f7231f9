"""Users in conflict with a global schema are counted by a job, which looks again only where something changed."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.selectors_conflicts import COUNT_CONFLICTS, conflicts_counted, conflicts_page
from registry.services import conflict_count
from registry.services.extensions import extension_save
from schemaevo.kernel.jobs import job_request, periodic_kinds, request_periodic, run_job
from schemaevo.kernel.models import Job, JobState, User
from tests.factories import SHELL, THING, make_definition, make_extension, make_user, make_version

pytestmark = pytest.mark.django_db


def count() -> dict[str, int]:
    """A count now, as a worker makes it."""
    job = job_request(kind=COUNT_CONFLICTS)
    run_job(str(job.pk))
    assert Job.objects.get(pk=job.pk).state == JobState.DONE
    return {one.entity_type: one.owners for one in conflicts_counted().types}


def make_in_conflict(entity_type: str = THING) -> User:
    """An owner who has the field as a number that the global schema makes a string of."""
    owner = make_user()
    make_extension(
        user=owner, document={"additional_fields": {"size": {"type": "number"}}}, entity_type=entity_type
    )
    return owner


def test_users_in_conflict_are_counted_type_by_type() -> None:
    make_version(document=make_definition(k="string"))
    make_version(document=make_definition(k="string"), entity_type="other")
    owners = [make_in_conflict(), make_in_conflict(), make_in_conflict("other")]
    assert count() == {THING: 0, "other": 0}
    make_version(document=make_definition(k="string", size="string"))
    assert count() == {THING: 2, "other": 0}
    page = conflicts_page(entity_type=THING)
    assert {owner.user_id for owner in page.owners} == {owners[0].pk, owners[1].pk}
    extension_save(entity_type=THING, user_id=owners[0].pk, document={}, actor=SHELL, note="given up")
    assert count() == {THING: 1, "other": 0}


def test_a_type_in_which_nothing_changed_is_not_read_again() -> None:
    make_version(document=make_definition(k="string"))
    make_in_conflict()
    make_version(document=make_definition(k="string", size="string"))
    assert count() == {THING: 1}
    with CaptureQueriesContext(connection) as queries:
        assert count() == {THING: 1}
    assert not [query for query in queries if "additional_fields" in query["sql"]]
    make_version(document=make_definition(k="string"), entity_type="other")
    make_in_conflict("other")
    assert count() == {THING: 1, "other": 0}


@pytest.mark.django_db(transaction=True)
def test_a_count_that_is_interrupted_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflict_count, "CHUNK_USERS", 1)
    make_version(document=make_definition(k="string"))
    for _n in range(3):
        make_in_conflict()
    make_version(document=make_definition(k="string", size="string"))
    Job.objects.all().delete()
    job = job_request(kind=COUNT_CONFLICTS)
    looks = 0

    def should_stop() -> bool:
        nonlocal looks
        looks += 1
        return looks % 2 == 0

    runs = 0
    while Job.objects.get(pk=job.pk).state != JobState.DONE:
        run_job(str(job.pk), should_stop=should_stop)
        runs += 1
        assert runs < 20
    assert runs > 1
    assert [one.owners for one in conflicts_counted().types] == [3]
    assert Job.objects.get(pk=job.pk).done_count == 3


def test_it_is_asked_for_again_and_again() -> None:
    assert COUNT_CONFLICTS in {kind.name for kind in periodic_kinds()}
    request_periodic(COUNT_CONFLICTS)
    assert Job.objects.get(kind=COUNT_CONFLICTS).state == JobState.PENDING


def test_before_the_first_count_nothing_is_told() -> None:
    assert conflicts_counted().open == []
    assert conflicts_counted().at is None
