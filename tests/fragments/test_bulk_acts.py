"""Everything that matches a filter is acted on as its preview said, row by row, and what does not fit is counted."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fragments import selectors_bulk
from fragments.models import (
    BulkAct,
    BulkList,
    BulkState,
    BulkVerb,
    EnhancementMode,
    FieldDismissal,
    LifecycleState,
    Promotion,
    RawFragment,
    RawFragmentAggregate,
)
from fragments.selectors_bulk import ACT, act_foreseen, act_job, rows_bound, rows_next
from fragments.services import bulk_pieces, bulk_runs
from fragments.services.bulk_acts import bulk_act_begin, bulk_act_cancel, bulk_act_resume
from fragments.services.dismissals import field_dismiss, field_snooze
from fragments.services.enhancement import enhancement_set
from fragments.services.ignore_lists import pattern_ignore
from fragments.services.promotions import field_promote
from registry.selectors import effective_schema
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied, DomainError
from schemaevo.kernel.job_control import job_cancel
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import AuditEvent, JobState, User
from tests.aggregates import assert_aggregates_are_right
from tests.bulk import declare, make_act, make_filter, put_field, stock, work
from tests.factories import (
    NOON,
    SHELL,
    THING,
    make_definition,
    make_login,
    make_maximum,
    make_run,
    make_user,
    make_version,
)
from tests.lifecycle import put
from tests.rounds import rounds

pytestmark = pytest.mark.django_db

ADA = {"owner": "ada"}


@pytest.fixture
def ada(db: None) -> User:
    """An owner of three things with the undeclared fields a, b and c; bob has the same."""
    declare()
    ada = make_user(username="ada")
    for owner in (ada, make_user(username="bob")):
        stock(user=owner, a=..., b="x", c=True)
    return ada


def states(**which: Any) -> Counter[str]:
    return Counter(RawFragment.objects.filter(**which).values_list("lifecycle_state", flat=True))


def small_pieces(monkeypatch: pytest.MonkeyPatch, rows: int = 2) -> None:
    monkeypatch.setattr(bulk_pieces, "ROWS_AT_ONCE", dict.fromkeys(BulkVerb, rows))
    # Smaller than a piece of a look, or as large, by turns.
    monkeypatch.setattr(bulk_runs, "ROWS_LOOKED_FOR", 2 * rows + 1)


# --- the verbs --------------------------------------------------------------------------------------------------
def test_what_is_active_is_archived_and_nothing_of_others(ada: User) -> None:
    put_field("b", LifecycleState.PROMOTED)
    act = work(make_act(BulkVerb.ARCHIVE, ADA))
    assert (act.state, act.matched_count, act.done_count) == (BulkState.DONE, 9, 6)
    assert act.skipped == {"promoted": 3}
    assert [(one["field"], one["code"]) for one in act.refusals] == [("b", "promoted")] * 3
    assert states(user=ada) == {"archived": 6, "promoted": 3}
    assert states(user__username="bob") == {"active": 6, "promoted": 3}
    assert RawFragment.objects.filter(lifecycle_state="archived", archived_at=None).count() == 0
    assert_aggregates_are_right()


def test_what_a_retracted_source_brought_is_not_archived(ada: User) -> None:
    RawFragment.objects.filter(user=ada, fragment_key="a").update(is_retracted=True)
    act = work(make_act(BulkVerb.ARCHIVE, ADA))
    assert (act.done_count, act.skipped) == (6, {"retracted": 3})


def test_what_waits_for_its_deletion_is_as_it_was(ada: User) -> None:
    put_field("a", LifecycleState.PENDING_DELETION)
    act = work(make_act(BulkVerb.RESTORE, {**ADA, "field": "a"}))
    assert (act.done_count, act.skipped) == (3, {})
    assert states(user=ada) == {"promoted": 3, "active": 6}
    assert states(user__username="bob")["pending_deletion"] == 3


def test_fields_are_dismissed_with_the_reason_and_earlier_decisions_stand(ada: User) -> None:
    field_dismiss(entity_type=THING, name="a", user_id=ada.pk, actor=SHELL, reason="earlier")
    act = work(make_act(BulkVerb.DISMISS, ADA, reason="all of it"))
    assert (act.done_count, act.skipped) == (2, {"dismissed": 1})
    told = FieldDismissal.objects.values_list("fragment_key", "reason", "until")
    assert sorted(told) == [("a", "earlier", None), ("b", "all of it", None), ("c", "all of it", None)]


def test_fields_are_snoozed_until_a_time(ada: User) -> None:
    until = datetime(2900, 1, 1, tzinfo=UTC)
    field_dismiss(entity_type=THING, name="a", user_id=ada.pk, actor=SHELL)
    field_snooze(entity_type=THING, name="b", user_id=ada.pk, actor=SHELL, until=until)
    act = work(make_act(BulkVerb.SNOOZE, ADA, until=until))
    assert (act.done_count, act.skipped) == (1, {"dismissed": 1, "snoozed": 1})
    assert FieldDismissal.objects.get(fragment_key="c").until == until


def test_eligible_fields_are_promoted_and_the_others_only_when_asked_for(ada: User) -> None:
    make_run(user=ada, records=[{"k": "k0", "rare": 1, "nothing": None}])
    act = work(make_act(BulkVerb.PROMOTE, ADA, reason="they are good"))
    assert act.done_count == 3
    assert act.skipped == {"seen_too_rarely": 1, "no_value": 1}
    assert {one["field"]: one["message"] for one in act.refusals}["nothing"] == "all values are null"
    assert set(Promotion.objects.values_list("fragment_key", "note")) == {
        (name, "they are good") for name in "abc"
    }
    again = work(make_act(BulkVerb.PROMOTE, {**ADA, "field": "rare"}, with_others=True))
    assert (again.done_count, again.skipped) == (1, {})
    declared = effective_schema(entity_type=THING, user_id=ada.pk).definition
    assert declared is not None
    assert set(declared.fields) == {"k", "a", "b", "c", "rare"}


def test_of_more_than_the_quota_allows_the_rest_is_refused_and_told(ada: User) -> None:
    make_maximum(user=ada, max_fields=2)
    act = work(make_act(BulkVerb.PROMOTE, {}))
    assert (act.done_count, act.skipped) == (5, {"quota_exceeded": 1})
    (refusal,) = act.refusals
    assert refusal["owner"] == ada.pk
    assert "at most 2 are allowed" in refusal["message"]


# --- preview equals act -----------------------------------------------------------------------------------------
def fields_of(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    values = st.sampled_from([1, 2, "x", "2024-05-01", True, None, [1], {"a": 1}])
    return st.dictionaries(st.sampled_from(names), values, max_size=5)


@st.composite
def stores(draw: st.DrawFn) -> dict[str, Any]:
    """What two owners have, what was said of it, and what is asked for."""
    names = ["a", "A", "created_at", "size", "_b", "Straße", "STRASSE", "tags"]
    records = [[draw(fields_of(names)) for _ in range(draw(st.integers(1, 5)))] for _owner in range(2)]
    verb = draw(st.sampled_from(BulkVerb))
    return {
        "records": records,
        "own": draw(st.sets(st.integers(0, 1))),
        "max_fields": draw(st.integers(0, 4)),
        "max_schemas": draw(st.integers(0, 2)),
        "dismissed": draw(st.sets(st.sampled_from(names))),
        "snoozed": draw(st.sets(st.sampled_from(names))),
        "ignored": draw(st.sets(st.sampled_from(["size", "t*"]))),
        "off": draw(st.booleans()),
        "moves": draw(st.dictionaries(st.sampled_from(names), st.sampled_from(LifecycleState))),
        "verb": verb,
        "with_others": draw(st.booleans()) and verb == BulkVerb.PROMOTE,
        "given": draw(st.sampled_from([{}, {"owner": "owner-0"}, {"field": "a"}, {"type": THING}])),
    }


def build(store: dict[str, Any]) -> None:
    until = datetime(2900, 1, 1, tzinfo=UTC)
    if len(store["own"]) < 2:
        declare()
    for number, records in enumerate(store["records"]):
        owner = make_user(username=f"owner-{number}")
        if number in store["own"] and len(store["own"]) == 2:
            make_version(document=make_definition(k="string"), user=owner)
        rows = [{"k": f"k{n}", **record} for n, record in enumerate(records)]
        make_run(user=owner, records=rows)
        make_run(user=owner, records=rows[:1], source="another")
        for name in store["dismissed"]:
            field_dismiss(entity_type=THING, name=name, user_id=owner.pk, actor=SHELL)
        for name in store["snoozed"] - store["dismissed"]:
            field_snooze(entity_type=THING, name=name, user_id=owner.pk, actor=SHELL, until=until)
        if number == 0:
            make_maximum(user=owner, max_fields=store["max_fields"], max_schemas=store["max_schemas"])
            if store["off"]:
                enhancement_set(user_id=owner.pk, entity_type=THING, mode=EnhancementMode.OFF, actor=SHELL)
    for pattern in store["ignored"]:
        pattern_ignore(pattern=pattern, user_id=None, entity_type="", actor=SHELL)
    for name, state in store["moves"].items():
        put(state, fragment_key=name)


@pytest.mark.rounds
@settings(max_examples=rounds(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stores())
def test_an_act_does_what_its_preview_said_when_nobody_else_writes(store: dict[str, Any]) -> None:
    with transaction.atomic():
        build(store)
        verb, others = store["verb"], store["with_others"]
        until = datetime(2900, 1, 1, tzinfo=UTC) if verb == BulkVerb.SNOOZE else None
        filtered = make_filter(verb, **store["given"])
        foreseen = act_foreseen(filtered.rows(), verb, until=until, with_others=others)
        assert foreseen is not None
        assert foreseen.is_whole
        if foreseen.looked_at:
            act = work(make_act(verb, store["given"], until=until, with_others=others))
            told = (act.matched_count, act.done_count, act.skipped)
            assert told == (foreseen.looked_at, foreseen.done, dict(foreseen.skipped))
            if foreseen.promotions:
                assert Promotion.objects.count() == foreseen.promotions.done
                grown = {one.user_id: one.fields for one in foreseen.owners}
                declared = Counter(Promotion.objects.values_list("user_id", flat=True))
                before = {one.user_id: one.now.fields.usage for one in foreseen.owners}
                assert {owner: grown[owner] - before[owner] for owner in grown} == declared
            # Done again, there is nothing left of it to do.
            again = act_foreseen(filtered.rows(), verb, until=until, with_others=others)
            assert again is not None
            assert not again.done
        transaction.set_rollback(True)


# --- asking -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"reason": "  "}, "reason_missing"),
        ({"reason": "a\0b"}, "unstorable_json"),
        ({"verb": BulkVerb.PROMOTE}, "verb_of_other_list"),
        ({"filtered": make_filter(BulkVerb.ARCHIVE)}, "everything_unconfirmed"),
        ({"filtered": make_filter(BulkVerb.ARCHIVE, field="nobody has it")}, "nothing_matches"),
        ({"filtered": make_filter(BulkVerb.ARCHIVE, state="nonsense")}, "nothing_matches"),
        ({"filtered": make_filter(BulkVerb.SNOOZE, field="a"), "verb": BulkVerb.SNOOZE}, "until_missing"),
        (
            {
                "filtered": make_filter(BulkVerb.SNOOZE, field="a"),
                "verb": BulkVerb.SNOOZE,
                "until": datetime(2020, 1, 1, tzinfo=UTC),
            },
            "until_passed",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_refused_and_leaves_nothing(
    ada: User, given: dict[str, Any], code: str
) -> None:
    asked = {"filtered": make_filter(BulkVerb.ARCHIVE, field="a"), "verb": BulkVerb.ARCHIVE, "reason": "so"}
    with pytest.raises(DomainError) as refusal:
        bulk_act_begin(**{**asked, **given, "actor": SHELL})
    assert refusal.value.code == code
    assert not BulkAct.objects.exists()
    assert act_job(BulkAct(pk=1)) is None


def test_what_comes_in_afterwards_is_left_alone(ada: User) -> None:
    act = make_act(BulkVerb.ARCHIVE, ADA)
    stock(user=ada, later=1)
    act = work(act)
    assert act.done_count == 9
    assert states(user=ada, fragment_key="later") == {"active": 3}


def test_what_does_not_match_any_more_when_its_turn_comes_is_counted(ada: User) -> None:
    act = make_act(BulkVerb.RESTORE, {**ADA, "state": "active"})
    put(LifecycleState.ARCHIVED, user=ada, fragment_key="a")
    act = work(act)
    assert (act.matched_count, act.done_count) == (9, 0)
    assert act.skipped == {"active": 6, "changed": 3}


def test_it_is_audited_when_it_is_asked_for_and_when_it_ends_without_what_was_searched(ada: User) -> None:
    act = work(make_act(BulkVerb.ARCHIVE, {**ADA, "q": "a"}, reason="so"))
    events = AuditEvent.objects.filter(target_type="bulk_act", target_id=str(act.pk)).order_by("id")
    begin, end = events
    assert (begin.action, begin.reason, begin.actor_name) == ("bulk_act.begin", "so", SHELL.name)
    assert begin.after["filter"] == {"owner": ada.pk, "q": "…"}
    assert (end.action, end.after) == (
        "bulk_act.end",
        {"state": "done", "matched": 3, "done": 3, "skipped": {}},
    )


# --- cancelling, resuming, dying ----------------------------------------------------------------------------------
class Stop(Exception):
    """The worker dies."""


def cut(monkeypatch: pytest.MonkeyPatch, *, after: int, error: Exception | None = None) -> list[int]:
    """The run ends after so many pieces, in the midst of the next one; the rows of each piece."""
    act_on, seen = bulk_pieces.piece_act, list[int]()

    def piece_act(act: BulkAct, rows: Any, actor: Actor) -> Any:
        done = act_on(act, rows, actor)
        if error is not None and len(seen) == after:
            raise error
        seen.append(len(rows))
        if error is None and len(seen) == after:
            bulk_act_cancel(act_id=act.pk, actor=SHELL)
        return done

    monkeypatch.setattr(bulk_runs, "piece_act", piece_act)
    return seen


@pytest.mark.parametrize("verb", [BulkVerb.ARCHIVE, BulkVerb.PROMOTE, BulkVerb.DISMISS])
def test_a_job_that_dies_between_pieces_ends_as_if_it_had_not(
    ada: User, verb: BulkVerb, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pieces(monkeypatch)
    act = make_act(verb, {})
    job = act_job(act)
    assert job is not None
    with monkeypatch.context() as dying:
        cut(dying, after=1, error=Stop())
        run_job(str(job.pk))
    act.refresh_from_db()
    assert 0 < act.matched_count < act.asked_count
    job.refresh_from_db()
    assert job.state == JobState.PENDING
    type(job).objects.filter(pk=job.pk).update(not_before=timezone.now())
    run_job(str(job.pk))
    act.refresh_from_db()
    assert act.is_done
    assert (act.matched_count, act.done_count) == (act.asked_count, act.asked_count)
    assert_aggregates_are_right()


def test_a_cancelled_act_rests_after_its_piece_and_goes_on_from_there(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pieces(monkeypatch)
    act = make_act(BulkVerb.ARCHIVE, ADA)
    bulk_act_cancel(act_id=act.pk, actor=SHELL, reason="not now")
    act = work(act)
    assert (act.state, act.matched_count) == (BulkState.CANCELLED, 0)
    assert states(user=ada) == {"active": 9}

    bulk_act_resume(act_id=act.pk, actor=SHELL)
    job = act_job(act)
    assert job is not None
    with monkeypatch.context() as dying:
        cut(dying, after=2, error=Stop())
        run_job(str(job.pk))
    bulk_act_cancel(act_id=act.pk, actor=SHELL)
    type(job).objects.filter(pk=job.pk).update(not_before=timezone.now())
    act = work(act)
    assert (act.state, act.matched_count, act.done_count) == (BulkState.CANCELLED, 4, 4)
    assert states(user=ada) == {"archived": 4, "active": 5}

    act = work(bulk_act_resume(act_id=act.pk, actor=SHELL))
    assert (act.state, act.matched_count, act.done_count) == (BulkState.DONE, 9, 9)
    verbs = AuditEvent.objects.filter(target_type="bulk_act").order_by("id").values_list("action", flat=True)
    assert list(verbs) == [
        f"bulk_act.{verb}" for verb in ("begin", "cancel", "resume", "cancel", "resume", "end")
    ]


def test_what_is_over_is_neither_cancelled_nor_resumed(ada: User) -> None:
    act = work(make_act(BulkVerb.ARCHIVE, ADA))
    for service in (bulk_act_cancel, bulk_act_resume):
        with pytest.raises(DomainError) as refusal:
            service(act_id=act.pk, actor=SHELL)
        assert refusal.value.code == "bulk_act_over"
        with pytest.raises(DomainError) as unknown:
            service(act_id=act.pk + 1, actor=SHELL)
        assert unknown.value.code == "bulk_act_not_found"


def test_an_act_whose_job_was_cancelled_elsewhere_goes_on_when_it_is_resumed(ada: User) -> None:
    act = make_act(BulkVerb.ARCHIVE, ADA)
    job = act_job(act)
    assert job is not None
    job_cancel(job_id=job.pk, actor=SHELL)
    assert work(act).state == BulkState.RUNNING
    assert work(bulk_act_resume(act_id=act.pk, actor=SHELL)).done_count == 9


def test_asking_for_the_job_again_changes_nothing(ada: User) -> None:
    act = work(make_act(BulkVerb.ARCHIVE, ADA))
    RawFragment.objects.filter(lifecycle_state="archived").update(lifecycle_state="active", archived_at=None)
    before = BulkAct.objects.values().get(pk=act.pk)
    run_job(str(job_request(kind=ACT, target=str(act.pk)).pk))
    assert BulkAct.objects.values().get(pk=act.pk) == before
    assert states(user=ada) == {"active": 9}


def test_each_row_is_looked_at_once_however_the_pieces_fall(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pieces(monkeypatch, rows=5)
    monkeypatch.setattr(bulk_pieces, "OWNERS_AT_ONCE", 1)
    seen = cut(monkeypatch, after=-1)
    act = work(make_act(BulkVerb.ARCHIVE, {}))
    assert sum(seen) == act.matched_count == act.done_count == 18
    assert max(seen) <= 5


def test_where_a_look_takes_too_long_windows_of_numbers_find_the_same_rows(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors_bulk, "WINDOW_ROWS", 2)
    filtered = make_filter(BulkVerb.ARCHIVE, field="b")
    wanted = set(filtered.rows().values_list("pk", flat=True))
    first = RawFragment.objects.order_by("pk").values_list("pk", flat=True)[0]
    last = RawFragment.objects.order_by("-pk").values_list("pk", flat=True)[0]
    found: list[int] = []
    after: int | None = first - 1
    while after is not None:
        look = rows_next(filtered, after=after, bound=last, limit=1, is_slow=True)
        assert look.is_slow
        found += [row.id for row in look.rows]
        after = look.beyond
    assert found == sorted(wanted)


def test_windows_are_of_rows_however_far_their_numbers_are_from_each_other(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors_bulk, "WINDOW_ROWS", 5)
    before = RawFragment.objects.count(), rows_bound(BulkList.FRAGMENTS)
    for second in range(20):
        make_run(user=ada, records=[{"k": "k0", "a": 0}], observed_at=NOON + timedelta(seconds=second))
    stock(user=ada, entities=1, late="x")
    bound = rows_bound(BulkList.FRAGMENTS)
    # What was seen again has taken numbers.
    assert RawFragment.objects.count() == before[0] + 1
    assert bound > before[1] + 20
    filtered = make_filter(BulkVerb.ARCHIVE, field="late")
    looks = 0
    after: int | None = 0
    while after is not None:
        look = rows_next(filtered, after=after, bound=bound, limit=9, is_slow=True)
        looks, after = looks + 1, look.beyond
    assert [row.id for row in look.rows] == [bound]
    assert looks == (before[0] + 1 + 4) // 5


# --- who may --------------------------------------------------------------------------------------------------
def test_nobody_acts_by_a_right_that_was_taken_from_them_and_another_goes_on(ada: User) -> None:
    login = make_login(role="operator")
    act = make_act(BulkVerb.ARCHIVE, ADA, actor=Actor.login(login))
    login.groups.clear()
    job = act_job(act)
    assert job is not None
    run_job(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "fragments.archive_fragment" in job.error
    assert states(user=ada) == {"active": 9}
    other = make_login(role="operator")
    act = work(bulk_act_resume(act_id=act.pk, actor=Actor.login(other)))
    assert (act.done_count, act.resumed_by) == (9, other)
    end = AuditEvent.objects.get(action="bulk_act.end")
    assert end.actor == other


def test_a_right_to_promote_without_one_to_extend_ends_the_job_and_promotes_nothing(ada: User) -> None:
    login = make_login()
    login.user_permissions.add(Permission.objects.get(codename="promote_field"))
    act = make_act(BulkVerb.PROMOTE, ADA, actor=Actor.login(User.objects.get(pk=login.pk)))
    job = act_job(act)
    assert job is not None
    run_job(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "registry.extend_schema" in job.error
    assert not Promotion.objects.exists()


def test_who_may_not_do_it_to_one_row_may_not_do_it_to_many(ada: User) -> None:
    viewer = Actor.login(make_login(role="viewer"))
    act = make_act(BulkVerb.ARCHIVE, ADA)
    for call in (
        lambda: make_act(BulkVerb.ARCHIVE, ADA, actor=viewer),
        lambda: bulk_act_cancel(act_id=act.pk, actor=viewer),
        lambda: bulk_act_resume(act_id=act.pk, actor=viewer),
    ):
        with pytest.raises(Denied):
            call()
    operator = Actor.login(make_login(role="operator"))
    with pytest.raises(Denied):
        make_act(BulkVerb.PROMOTE, ADA, actor=operator)


def test_one_field_that_breaks_costs_no_other(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    promote = field_promote

    def broken(**given: Any) -> Any:
        promoted = promote(**given)
        if given["field"] == "b":
            raise RuntimeError("secret value")
        return promoted

    monkeypatch.setattr(bulk_pieces, "field_promote", broken)
    act = make_act(BulkVerb.PROMOTE, ADA)
    job = act_job(act)
    assert job is not None
    run_job(str(job.pk))
    job.refresh_from_db()
    act.refresh_from_db()
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert (act.done_count, act.skipped) == (2, {"failed": 1})
    assert "secret" not in str(act.refusals)
    assert set(Promotion.objects.values_list("fragment_key", flat=True)) == {"a", "c"}
    assert RawFragmentAggregate.objects.filter(user=ada).count() == 3


@pytest.mark.parametrize("verb", [BulkVerb.DISMISS, BulkVerb.SNOOZE])
def test_what_is_dismissed_for_good_while_a_piece_is_done_stays_so(
    ada: User, monkeypatch: pytest.MonkeyPatch, verb: BulkVerb
) -> None:
    look = selectors_bulk.dismissals_skipped

    def dismissed_meanwhile(*args: Any, **given: Any) -> list[str]:
        told = look(*args, **given)
        field_dismiss(entity_type=THING, name="a", user_id=ada.pk, actor=SHELL, reason="for good")
        return told

    monkeypatch.setattr(bulk_pieces, "dismissals_skipped", dismissed_meanwhile)
    until = datetime(2900, 1, 1, tzinfo=UTC) if verb == BulkVerb.SNOOZE else None
    act = work(make_act(verb, ADA, until=until))
    assert (act.done_count, act.skipped) == (2, {"dismissed": 1})
    row = FieldDismissal.objects.get(fragment_key="a")
    assert (row.until, row.reason) == (None, "for good")
