"""What many users do is found and proposed: who counts as a user, the rules at their borders, and what is dismissed."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fragments.selectors_counting import REBUILD
from fragments.selectors_patterns import NEAR_USERS
from fragments.selectors_usage import entity_types_used, users_of_type
from fragments.services.dismissals import field_dismiss, field_recall, field_snooze
from fragments.services.ignore_lists import pattern_ignore
from fragments.services.patterns import patterns_look
from registry.domain.edit_documents import parse_edits
from registry.models import Proposal, ProposalOrigin, ProposalState, SchemaVersion
from registry.services.activation import schema_activate, schema_deactivate
from registry.services.extensions import extension_remove
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import AuditEvent
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_run,
    make_user,
    make_version,
)
from tests.fragments.patterns import (
    VALUES,
    against,
    analysed,
    candidate,
    looked,
    outcomes,
    users_with_extension,
    users_with_own,
    users_with_values,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def shared() -> None:
    make_version(document=make_definition(k="string"))


def add(field: str, kind: str, **more: Any) -> JsonObject:
    return {"op": "add_field", "field": field, "declaration": {"type": kind}, **more}


# --- who uses a field ---------------------------------------------------------------------------------------------
def test_ten_users_with_waiting_values_are_a_proposal_and_nine_are_not(shared: None) -> None:
    users_with_values(9, smell="sweet")
    assert looked().candidates == ()
    assert looked().looked_at == 0
    users_with_values(1, smell="sour")
    [proposed] = analysed()
    assert (proposed.candidate.subject, proposed.outcome) == ("smell", "drafted")
    proposal = Proposal.objects.get(id=proposed.proposal_id or 0)
    assert (proposal.state, proposal.origin, proposal.subject) == (
        ProposalState.DRAFT,
        ProposalOrigin.ANALYSIS,
        "smell",
    )
    assert proposal.edits == [add("smell", "string")]
    assert (proposal.author, proposal.last_editor) == (None, None)
    assert proposal.base_version is not None
    assert proposal.base_version.number == "1.0.0"


def test_users_are_found_in_three_shapes_and_each_counts_once(shared: None) -> None:
    users_with_values(4, smell="sweet")
    both = users_with_extension(3, smell="string")
    for owner in both:
        # What waits beside a declaration does not fit it: the declaration counts, and this does not.
        make_run(records=[{"k": f"k{n}", "smell": n} for n in range(50)], user=owner)
    users_with_own(3, smell="string")
    evidence = candidate("smell").evidence
    assert evidence["declared_by"] == {"own_schema": 3, "extension": 3, "fragments": 4}
    assert (evidence["users"], evidence["types"]) == (10, {"string": 10})
    assert (evidence["users_of_type"], evidence["share"]) == (10, 1)
    assert (evidence["values"], evidence["seen"], evidence["sources"], evidence["entities"]) == (
        24,
        24,
        4,
        24,
    )


def test_own_schemas_without_a_global_one_are_a_proposal_for_the_first_version() -> None:
    users_with_own(10, smell="string", size="number")
    assert outcomes(analysed()) == {"smell": "drafted", "size": "drafted"}
    assert set(Proposal.objects.values_list("base_version", flat=True)) == {None}
    evidence = candidate("smell").evidence
    assert (evidence["values"], evidence["confidence"], evidence["eligible"]) == (
        0,
        Decimal("0.925"),
        True,
    )


def test_of_an_own_schema_and_an_extension_the_one_counts_that_applies(shared: None) -> None:
    owners = users_with_extension(10, smell="string")
    version = SchemaVersion.objects.get(user=None)
    schema_deactivate(entity_type=THING, user_id=None, actor=SHELL, without_review="a test wants it")
    # Nothing is extended now, and the extension that waits is what they say nevertheless.
    assert [one.subject for one in looked().candidates] == ["smell"]
    for owner in owners:
        make_version(document=make_definition(colour="string"), user=owner)
    assert [one.subject for one in looked().candidates] == ["colour"]
    schema_activate(version_id=version.pk, actor=SHELL, without_review="a test wants it")
    assert [one.subject for one in looked().candidates] == ["smell"]


def test_a_user_whose_values_are_all_null_counts_and_has_no_type(shared: None) -> None:
    users_with_values(8, smell="sweet")
    users_with_values(2, smell=None)
    evidence = candidate("smell").evidence
    assert (evidence["users"], evidence["types"]) == (10, {"string": 8, "null": 2})
    users_with_values(1, smell=None)
    assert against("smell") == {"types_differ"}


# --- types --------------------------------------------------------------------------------------------------------
def test_eighty_of_a_hundred_users_with_one_type_are_enough_and_79_are_not(shared: None) -> None:
    users_with_own(80, size_id="string")
    others = users_with_own(20, size_id="number")
    evidence = candidate("size_id").evidence
    assert (evidence["type"], evidence["type_share"]) == ("string", Decimal("0.8"))
    assert evidence["conflicts"] == [{"type": "number", "users": 20, "declared": 20}]
    assert evidence["confidence"] == Decimal("0.9")
    make_version(document=make_definition(size_id="number"), user=make_user())
    assert against("size_id") == {"types_differ", "confidence_too_low"}
    assert len(others) == 20


def test_few_users_with_many_values_do_not_outvote_many_with_few_and_nothing_is_proposed(
    shared: None,
) -> None:
    users_with_values(9, size="big")
    users_with_values(2, each=60, size=lambda n: n)
    assert against("size") == {"values_differ", "confidence_too_low"}


def test_a_field_that_the_global_schema_has_is_not_proposed_and_another_type_is_a_conflict() -> None:
    users_with_own(10, smell="string", size="string")
    make_version(document=make_definition(smell="string", size="number"))
    patterns = looked()
    assert patterns.candidates == ()
    assert [conflict.to_json() for conflict in patterns.conflicts] == [
        {"field": "size", "declared": "number", "type": "string", "users": 10, "types": {"string": 10}}
    ]


def test_a_field_is_not_proposed_under_a_name_that_looks_like_a_declared_one(shared: None) -> None:
    users_with_values(10, K="x")
    assert against("K") == {"ambiguous_name"}


def test_a_name_that_cannot_be_declared_is_never_proposed(shared: None) -> None:
    smells: dict[str, Any] = {"smell ": "x"}
    users_with_values(10, **smells)
    assert (looked().looked_at, looked().candidates) == (0, ())


# --- what would be declared ---------------------------------------------------------------------------------------
def test_the_policy_of_most_users_who_declare_the_field_is_taken_over(shared: None) -> None:
    merging: JsonObject = {
        "additional_fields": {"tags": {"type": "array", "merge_policy": {"strategy": "merge_array"}}}
    }
    for _ in range(5):
        make_extension(user=make_user(), document=merging)
    users_with_extension(5, tags="array")
    users_with_values(5, tags=["a"])
    found = candidate("tags")
    assert found.edits == [add("tags", "array", merge_policy={"strategy": "merge_array"})]
    users_with_extension(1, tags="array")
    assert candidate("tags").edits == [add("tags", "array")]
    assert candidate("tags").evidence["policies"] == [
        {"merge_policy": {"strategy": "last_write"}, "users": 6},
        {"merge_policy": {"strategy": "merge_array"}, "users": 5},
    ]


def test_the_policies_of_own_schemas_count_too() -> None:
    for _ in range(10):
        document = make_definition(tags="array", policies={"tags": {"strategy": "merge_array"}})
        make_version(document=document, user=make_user())
    assert candidate("tags").edits == [add("tags", "array", merge_policy={"strategy": "merge_array"})]


def test_values_of_other_types_ask_for_their_converters(shared: None) -> None:
    users_with_values(10, each=20, seen_at=lambda n: 1_700_000_000 if n == 0 else "2026-01-01T00:00:00Z")
    [edit] = candidate("seen_at").edits
    assert edit == {
        "op": "add_field",
        "field": "seen_at",
        "declaration": {
            "type": "date",
            "converters": [{"from": "number", "to": "date", "function": "timestamp_s_to_iso"}],
        },
    }
    parse_edits([edit])


def test_converters_that_half_of_those_have_who_declare_the_field_are_kept(shared: None) -> None:
    users_with_extension(5, size={"type": "number", "converters": ["string_to_number"]})
    users_with_extension(5, size="number")
    [edit] = candidate("size").edits
    assert isinstance(edit, dict)
    assert edit["declaration"] == {
        "type": "number",
        "converters": [{"from": "string", "to": "number", "function": "string_to_number"}],
    }
    users_with_extension(1, size="number")
    assert candidate("size").edits == [add("size", "number")]


# --- converters of declared fields --------------------------------------------------------------------------------
def users_with_sizes(count: int, *, readable: int, unreadable: int) -> None:
    for _ in range(count):
        sizes = [f"{n}" for n in range(readable)] + [f"about {n}" for n in range(unreadable)]
        make_run(records=[{"k": f"k{n}", "size": size} for n, size in enumerate(sizes)], user=make_user())


def test_a_converter_that_reads_80_per_cent_of_what_waits_at_ten_users_is_proposed() -> None:
    make_version(document=make_definition(k="string", size="number"))
    users_with_sizes(9, readable=8, unreadable=2)
    assert looked().candidates == ()
    users_with_sizes(1, readable=8, unreadable=2)
    [proposed] = analysed()
    assert proposed.outcome == "drafted"
    proposal = Proposal.objects.get()
    assert (proposal.title, proposal.subject) == ("Read size by string_to_number", "size")
    assert proposal.edits == [
        {
            "op": "add_converter",
            "field": "size",
            "converter": {"from": "string", "to": "number", "function": "string_to_number"},
        }
    ]
    evidence = proposal.evidence
    assert (evidence["pattern"], evidence["users"], evidence["values"]) == ("converter", 10, 100)
    assert (evidence["converted"], evidence["unreadable"], evidence["is_exact"]) == (80, 20, True)
    users_with_sizes(1, readable=0, unreadable=1)
    assert outcomes(analysed()) == {"size": "faded"}
    proposal.refresh_from_db()
    assert proposal.evidence["obstacles"] == [
        {"code": "nothing_converts", "message": "string_to_number would convert 79.2 %; 80 % are needed"}
    ]


def test_what_waits_at_users_whose_extension_has_another_type_asks_for_no_converter() -> None:
    for owner in users_with_own(10, size="boolean"):
        make_run(records=[{"k": f"k{n}", "size": f"{n}"} for n in range(VALUES)], user=owner)
    make_version(document=make_definition(k="string", size="number"))
    assert looked().candidates == ()


def test_a_converter_stands_before_those_that_would_take_its_values() -> None:
    declared = {"type": "date", "converters": ["timestamp_ms_to_iso"]}
    make_version(document=make_definition(k="string", made_at=declared))
    users_with_extension(1, other="string")
    for _ in range(10):
        # Too small for milliseconds of a plausible time; the declared converter reads them all the same.
        make_run(records=[{"k": f"k{n}", "made_at": -n - 1} for n in range(VALUES)], user=make_user())
    assert looked().candidates == ()


# --- what nobody wants --------------------------------------------------------------------------------------------
def test_what_is_ignored_or_dismissed_for_all_is_not_proposed_and_comes_back(shared: None) -> None:
    users_with_values(10, smell="sweet", colour="red")
    field_dismiss(entity_type=THING, name="smell", user_id=None, actor=SHELL)
    pattern_ignore(pattern="col*", user_id=None, actor=SHELL)
    assert (against("smell"), against("colour")) == ({"dismissed"}, {"ignored"})
    field_snooze(
        entity_type=THING, name="smell", user_id=None, until=timezone.now() + timedelta(days=1), actor=SHELL
    )
    assert against("smell") == {"snoozed"}
    field_recall(entity_type=THING, name="smell", user_id=None, actor=SHELL)
    assert outcomes(analysed()) == {"smell": "drafted"}


def test_what_one_user_does_not_want_recommended_counts_for_all_the_same(shared: None) -> None:
    for owner in users_with_values(10, smell="sweet"):
        field_dismiss(entity_type=THING, name="smell", user_id=owner.pk, actor=SHELL)
    assert [one.subject for one in looked().candidates] == ["smell"]


def test_while_fragments_are_being_counted_nothing_is_found(shared: None) -> None:
    users_with_values(10, smell="sweet")
    job_request(kind=REBUILD)
    patterns = patterns_look(entity_type=THING)
    assert (patterns.is_certain, patterns.candidates) == (False, ())


# --- evidence -----------------------------------------------------------------------------------------------------
def test_evidence_counts_users_and_tells_no_name_and_no_value_of_theirs(shared: None) -> None:
    owners = users_with_values(10, smell="a-very-telling-value", smells="x")
    users_with_extension(1, smell="string")
    told = str(candidate("smell").evidence)
    assert "a-very-telling-value" not in told
    assert not any(owner.username in told for owner in owners)


def test_evidence_explains_confidence_factor_by_factor(shared: None) -> None:
    users_with_values(10, smell="sweet")
    evidence = candidate("smell").evidence
    factors: Any = evidence["factors"]
    assert [(factor["factor"], factor["words"]) for factor in factors] == [
        ("type", "100 % of the values that are not null are of type string"),
        ("format", "100 % of these have one form, text"),
        ("name", "the name says nothing of its kind"),
        ("samples", "60 values"),
    ]
    assert sum(factor["contribution"] for factor in factors) == evidence["confidence"]


def test_near_names_are_shown_from_three_users_on_and_never_merged(shared: None) -> None:
    users_with_values(10, typings="x")
    users_with_values(NEAR_USERS, types="x")
    users_with_values(NEAR_USERS - 1, typing="x")
    users_with_values(20, keys="x")
    found = {one.subject: one.evidence["near"] for one in looked().candidates}
    assert found["typings"] == [{"field": "types", "users": 3, "declared": False}]
    assert set(found) == {"typings", "keys"}


def test_a_near_name_that_the_global_schema_declares_is_told_first() -> None:
    make_version(document=make_definition(k="string", colour="string"))
    users_with_values(10, color="red", colours="red")
    assert candidate("color").evidence["near"] == [
        {"field": "colour", "users": 0, "declared": True},
        # `colours` is two letters from `color`, which are too many for a name so short.
    ]


def test_users_of_a_type_are_those_who_have_something_of_it(shared: None) -> None:
    users_with_values(2, each=3, smell="x")
    users_with_extension(1, smell="string")
    users_with_own(1, smell="string")
    users_with_values(1, entity_type="other", smell="x")
    assert users_of_type(entity_type=THING) == 4
    assert entity_types_used() == ["thing"]


# --- again --------------------------------------------------------------------------------------------------------
def test_a_second_look_changes_nothing(shared: None) -> None:
    users_with_values(10, smell="sweet", size=4)
    assert outcomes(analysed()) == {"smell": "drafted", "size": "drafted"}
    before = list(Proposal.objects.values()), AuditEvent.objects.count()
    assert outcomes(analysed()) == {"smell": "unchanged", "size": "unchanged"}
    assert (list(Proposal.objects.values()), AuditEvent.objects.count()) == before


def test_a_draft_whose_field_fell_below_the_rules_stays_and_says_so(shared: None) -> None:
    make_compatibility()
    owners = users_with_own(11, size_id="string")
    analysed()
    content = Proposal.objects.values("edits", "title", "state", "content_hash").get()
    for owner in owners[:3]:
        make_version(document=make_definition(size_id="number"), user=owner)
    assert outcomes(analysed()) == {"size_id": "faded"}
    proposal = Proposal.objects.get()
    assert proposal.evidence["eligible"] is False
    assert [found["code"] for found in proposal.evidence["obstacles"]] == [
        "types_differ",
        "confidence_too_low",
    ]
    assert outcomes(analysed()) == {"size_id": "unchanged"}
    assert Proposal.objects.values("edits", "title", "state", "content_hash").get() == content
    make_version(document=make_definition(size_id="string"), user=owners[0])
    make_version(document=make_definition(size_id="string"), user=owners[1])
    assert outcomes(analysed()) == {"size_id": "refreshed"}


def test_a_draft_whose_field_nobody_has_any_more_says_so(shared: None) -> None:
    owners = users_with_extension(10, smell="string")
    analysed()
    for owner in owners:
        extension_remove(entity_type=THING, user_id=owner.pk, actor=SHELL)
    assert outcomes(analysed()) == {"smell": "faded"}
    evidence = Proposal.objects.get().evidence
    assert evidence["obstacles"] == [{"code": "too_few_users", "message": "no users; 10 are needed"}]


def test_a_look_leaves_the_planner_of_its_transaction_as_it_was(shared: None) -> None:
    def settings_now() -> tuple[str, str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('enable_nestloop'), current_setting('jit')")
            row: tuple[str, str] = cursor.fetchone()
            return row

    users_with_values(10, smell="sweet")
    before = settings_now()
    looked()
    assert settings_now() == before
    assert before[0] == "on"


def test_a_look_takes_as_many_queries_for_many_fields_as_for_few(shared: None) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            looked()
        return len(captured)

    users_with_own(10, smell="string")
    looked()
    few = queries()
    users_with_own(10, **{f"field_{n}_name": "string" for n in range(20)})
    assert queries() == few
    assert len(looked().candidates) == 21
