"""Eight who insert, archive, promote, delete and rebuild overlapping fragments: no deadlock, and all counts right."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from django.utils import timezone

from fragments.models import RawFragment, RawFragmentAggregate
from fragments.models_promotions import Promotion
from fragments.services.aggregates import Part, aggregates_rebuild
from fragments.services.backfill import (
    Chunk,
    Spot,
    fragments_promote,
    fragments_take_back,
    spots_promoted,
    spots_waiting,
)
from fragments.services.backfill_runs import PROMOTE
from fragments.services.lifecycle import ARCHIVE, DELETE, EXPIRE, Move, fragments_move, page_due
from fragments.services.promotions import field_promote, promotion_undo
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, User
from snapshots.models import EntitySnapshot
from snapshots.services.observations import RECOMPUTE
from snapshots.services.verify import snapshots_verify
from tests.aggregates import assert_aggregates_are_right
from tests.factories import SHELL, THING, make_definition, make_run, make_user, make_version
from tests.lifecycle import DAY
from tests.rounds import rounds
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)
WRITERS = 8
STEPS = rounds(12)
KEYS = ("a", "b", "c", "d", "e")


def arrive(dice: random.Random, users: list[User]) -> None:
    """Records of several users and keys, many of which were seen before."""
    for user in dice.sample(users, 2):
        make_run(
            user=user,
            source=f"source-{dice.randrange(3)}",
            records=[
                {
                    "k": f"k{dice.randrange(6)}",
                    "n": dice.random().hex(),
                    **dict.fromkeys(dice.sample(KEYS, 3), value),
                }
                for value in (dice.randrange(3), str(dice.randrange(3)), None)
            ],
        )


def promote(dice: random.Random, users: list[User]) -> None:
    """A field of one user is declared, and its fragments are promoted; at the same time somebody may undo it."""
    user, key = dice.choice(users), dice.choice(KEYS)
    with suppress(DomainError):
        field_promote(
            user_id=user.pk, entity_type=THING, field=key, declaration={"type": "string"}, actor=SHELL
        )
    walk(spots_waiting, fragments_promote, user, key)


def undo(dice: random.Random, users: list[User]) -> None:
    """A promotion is undone, and its fragments wait again."""
    promotion = Promotion.objects.order_by("?").first()
    if promotion is not None:
        with suppress(DomainError):
            promotion_undo(promotion_id=promotion.pk, actor=SHELL)
        walk(spots_promoted, fragments_take_back, promotion.user, promotion.fragment_key)


def walk(look: Callable[..., list[Spot]], act: Callable[..., Chunk], user: User, key: str) -> None:
    """The job's way through the fragments of a field, a few at a time."""
    named = {"entity_type": THING, "user_id": user.pk, "field": key}
    spots = look(**named, after=None)
    for start in range(0, len(spots), 4):
        with transaction.atomic():
            act(**named, spots=spots[start : start + 4])


def move(move: Move, dice: random.Random, users: list[User]) -> None:
    """What is due by a time at which everything is."""
    until = timezone.now() + DAY
    page = page_due(move, until, None)
    for group in page.groups if page else ():
        with transaction.atomic():
            fragments_move(move, until, group)


def rebuild(dice: random.Random, users: list[User]) -> None:
    """A user's aggregates are counted anew in the middle of it."""
    aggregates_rebuild(Part(dice.choice(users).pk, THING))


ACTS: list[Callable[[random.Random, list[User]], None]] = [
    arrive,
    arrive,
    promote,
    undo,
    partial(move, ARCHIVE),
    partial(move, EXPIRE),
    partial(move, DELETE),
    rebuild,
]


@pytest.mark.rounds
def test_eight_writers_leave_counts_that_equal_a_group_by() -> None:
    make_version(document=make_definition(k="string", n="string"))
    users = [make_user() for _ in range(4)]

    def write(number: int) -> None:
        dice = random.Random(number)
        for _ in range(STEPS):
            dice.choice(ACTS)(dice, users)

    side_by_side([partial(write, number) for number in range(WRITERS)])

    assert_aggregates_are_right()
    assert RawFragmentAggregate.objects.filter(sample_count__gt=0).exists()
    # What was promoted meanwhile is in the snapshots.
    for kind in (PROMOTE, RECOMPUTE):
        while job := Job.objects.filter(kind=kind, state__in=LIVE_JOB_STATES).first():
            run_job(str(job.pk))
    verified = snapshots_verify([str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)])
    assert (verified.waiting, verified.divergent) == (0, [])
    assert_aggregates_are_right()


@pytest.mark.rounds
def test_who_writes_without_the_lock_waits_and_is_counted() -> None:
    """As psql may: single statements over one user's fragments, beside rebuilds of the same."""
    make_version(document=make_definition(k="string"))
    user = make_user()
    make_run(user=user, records=[{"k": f"k{n}", **dict.fromkeys(KEYS, n)} for n in range(10)])

    def by_hand() -> None:
        for number in range(STEPS):
            with connection.cursor() as cursor:
                cursor.execute(
                    """
                    INSERT INTO raw_fragments (user_id, entity_type, entity_id, fragment_key, source_id, value,
                           value_hash, value_type, value_format, reason, priority, specificity, frequency_count,
                           observation_id, observed_at)
                    SELECT user_id, entity_type, entity_id, fragment_key || %s, source_id, value, value_hash,
                           value_type, value_format, reason, priority, specificity, 2, observation_id, observed_at
                      FROM raw_fragments WHERE length(fragment_key) = 1
                    """,
                    [f"-{number}"],
                )
                cursor.execute(
                    "UPDATE raw_fragments SET lifecycle_state = 'archived', archived_at = now()"
                    " WHERE fragment_key = %s AND lifecycle_state = 'active'",
                    [f"a-{number}"],
                )

    def counting() -> None:
        for _ in range(STEPS):
            aggregates_rebuild(Part(user.pk, THING))

    side_by_side([by_hand, counting, counting])
    assert_aggregates_are_right()
    newest = RawFragment.objects.latest("id").last_seen_at
    assert timezone.now() - newest < timedelta(hours=1)
