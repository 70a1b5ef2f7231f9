"""What a recomputation passed over is on the page of its job and of the entity, without values, for everybody."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, JobState
from snapshots import selectors_failures
from snapshots.models import EntitySnapshot, RecomputeFailure
from snapshots.services.observations import RECOMPUTE
from tests.admin.addresses import page_of, verb_of
from tests.admin.conftest import SECRET
from tests.factories import make_definition, make_observation, make_recorded, make_user, make_version


@dataclass(frozen=True)
class Failed:
    job: Job
    entity: EntitySnapshot


@pytest.fixture
def failed(db: None, caplog: pytest.LogCaptureFixture) -> Failed:
    """A run that passed over two of three entities, whose histories hold what no program of ours would write."""
    caplog.set_level(logging.CRITICAL)
    owner = make_user(username="ada")
    make_recorded(
        observations=[make_observation(user=owner, key=f"thing-{n}", fields={"a": n}) for n in range(3)]
    )
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO observations (id, user_id, entity_type, entity_id, source_id, observed_at, priority,
                                      specificity, origin, content_id, fields)
            SELECT gen_random_uuid(), o.user_id, o.entity_type, o.entity_id, source_id, observed_at, priority,
                   specificity, origin, gen_random_uuid(), to_jsonb(%s::text)
              FROM observations AS o JOIN entity_snapshots AS s ON s.id = o.entity_id
             WHERE s.entity_key IN ('thing-1', 'thing-2')
            """,
            [SECRET],
        )
    make_version(document=make_definition(a="number"))
    job = Job.objects.get(kind=RECOMPUTE)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    return Failed(job, EntitySnapshot.objects.get(entity_key="thing-1"))


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_the_page_of_the_job_lists_what_it_passed_over(
    client_of: Callable[[str], Client], failed: Failed, role: str
) -> None:
    html = client_of(role).get(page_of(failed.job)).content.decode()
    assert "Could not be recomputed" in html
    assert '<span class="se-number">2</span>' in html
    assert f'href="{page_of(failed.entity)}"' in html
    assert "AssertionError" in html
    assert "snapshots/services/merging.py" in html
    assert "thing-0" not in html
    assert SECRET not in html


def test_a_long_list_is_cut_and_counted(
    client_of: Callable[[str], Client], failed: Failed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors_failures, "LISTED_MAX", 1)
    html = client_of("operator").get(page_of(failed.job)).content.decode()
    assert '<span class="se-number">2</span>' in html
    assert ("thing-1" in html) != ("thing-2" in html)


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_the_page_of_the_entity_says_why_it_waits_on(
    client_of: Callable[[str], Client], failed: Failed, role: str
) -> None:
    html = client_of(role).get(page_of(failed.entity)).content.decode()
    assert "rules that are no longer in force" in html
    assert "A recomputation failed at" in html
    assert "AssertionError" in html
    assert SECRET not in html


def test_of_what_cannot_be_reduced_the_history_is_listed_and_no_time_is_told(
    client_of: Callable[[str], Client], failed: Failed
) -> None:
    client = client_of("operator")
    history = client.get(verb_of(EntitySnapshot, "history", failed.entity.pk)).content.decode()
    assert "What each observation changed is not told." in history
    assert 'class="se-moment' in history
    then = client.get(page_of(failed.entity), {"as_of": "2024-05-01"}).content.decode()
    assert "nothing can be said of that time" in then
    owner = failed.entity.user.username
    asked = ("show_snapshot", failed.entity.entity_type, failed.entity.entity_key, "--user", owner)
    with pytest.raises(CommandError, match="a recomputation failed with AssertionError") as refusal:
        call_command(*asked, "--as-of", "2024-05-01")
    assert refusal.value.returncode == 1


def test_where_nothing_failed_nothing_is_said(client_of: Callable[[str], Client], failed: Failed) -> None:
    RecomputeFailure.objects.all().delete()
    client = client_of("operator")
    assert "Could not be recomputed" not in client.get(page_of(failed.job)).content.decode()
    done = EntitySnapshot.objects.get(entity_key="thing-0")
    assert "A recomputation failed" not in client.get(page_of(done)).content.decode()
    EntitySnapshot.objects.filter(pk=done.pk).update(reduction_hash="")
    assert "A recomputation failed" not in client.get(page_of(done)).content.decode()


def test_a_table_of_any_length_costs_the_same_number_of_queries(
    client_of: Callable[[str], Client], failed: Failed, django_assert_num_queries: Callable[[int], object]
) -> None:
    with django_assert_num_queries(3):  # type: ignore[attr-defined]
        assert len(selectors_failures.failures_of_job(job_id=failed.job.pk).listed) == 2
