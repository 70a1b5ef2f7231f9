"""A fragment's life goes only as listed, whichever way one comes."""

from itertools import product

import pytest

from fragments.models import LifecycleState, RawFragment
from tests.factories import make_definition, make_run, make_user, make_version
from tests.lifecycle import put
from tests.triggers.attacks import execute, refused_by

pytestmark = pytest.mark.django_db
GUARD = "raw_fragments_moves"
ACTIVE, PROMOTED, ARCHIVED, PENDING = LifecycleState
ALLOWED = {
    (ACTIVE, PROMOTED),
    (ACTIVE, ARCHIVED),
    (ARCHIVED, ACTIVE),
    (ARCHIVED, PROMOTED),
    (PROMOTED, ACTIVE),
    (PROMOTED, PENDING),
    (PENDING, ACTIVE),
    (PENDING, PROMOTED),
}


@pytest.fixture(autouse=True)
def _fragment():
    """One active fragment."""
    make_version(document=make_definition(k="string"))
    make_run(user=make_user(), records=[{"k": "x", "other": 1}])
    assert RawFragment.objects.count() == 1


def move(to):
    """The move, in one statement that gives the columns their due."""
    execute(
        """
        UPDATE raw_fragments SET lifecycle_state = %(to)s,
               promoted_at = CASE WHEN %(to)s IN ('promoted', 'pending_deletion') THEN now() END,
               expires_at = CASE WHEN %(to)s IN ('promoted', 'pending_deletion') THEN now() END,
               archived_at = CASE WHEN %(to)s = 'archived' THEN now() END
        """,
        {"to": to.value},
    )


@pytest.mark.parametrize(("before", "after"), list(product(LifecycleState, LifecycleState)))
def test_every_move_is_allowed_or_refused_as_listed(before, after):
    put(before)

    if before == after or (before, after) in ALLOWED:
        move(after)
        assert RawFragment.objects.get().lifecycle_state == after
    else:
        refused_by(GUARD, lambda: move(after))
        assert RawFragment.objects.get().lifecycle_state == before


@pytest.mark.parametrize("unknown", ["deleted", "", "Active"])
def test_there_are_no_other_states(unknown):
    refused_by(GUARD, lambda: execute("UPDATE raw_fragments SET lifecycle_state = %s", [unknown]))


@pytest.mark.parametrize("state", [ACTIVE, PROMOTED, ARCHIVED])
@pytest.mark.parametrize(
    "delete",
    [
        lambda: execute("DELETE FROM raw_fragments"),
        lambda: RawFragment.objects.all().delete(),
        lambda: execute(
            "MERGE INTO raw_fragments f USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
        ),
    ],
    ids=["raw", "the ORM's", "merge"],
)
def test_only_what_waits_for_its_deletion_is_deleted(state, delete):
    put(state)

    refused_by(GUARD, delete)

    assert RawFragment.objects.get().lifecycle_state == state


def test_what_waits_for_its_deletion_can_be_deleted():
    put(PENDING)

    execute("DELETE FROM raw_fragments")

    assert not RawFragment.objects.exists()


@pytest.mark.parametrize("mark", ["no", "", "on"])
def test_an_archived_one_goes_only_where_the_job_says_so_for_its_transaction(mark):
    put(ARCHIVED)

    execute("SELECT set_config('schemaevo.archive_ends', %s, true)", [mark])
    refused_by(GUARD, lambda: move(PENDING))

    execute("SELECT set_config('schemaevo.archive_ends', 'yes', true)")
    move(PENDING)
    assert RawFragment.objects.get().lifecycle_state == PENDING
