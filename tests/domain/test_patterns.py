"""Patterns from counts alone: who is counted as what, what speaks for a field and against it, and near names."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fragments.domain.confidence import ENOUGH_SAMPLES
from fragments.domain.counts import FieldCounts
from fragments.domain.field_use import FieldUse, Shape, UserGroup, counts_with_declarations
from fragments.domain.near_names import SHOWN_MAX, NearNames, UsedName, are_near
from fragments.domain.patterns import (
    TYPE_SHARE,
    FieldPattern,
    PatternObstacle,
    Surroundings,
    field_pattern,
    type_conflict,
)
from fragments.domain.recommendation import Circumstances
from registry.domain.definition import DEFAULT_POLICY, FieldType, Policy, Strategy
from registry.domain.edit_documents import parse_edits
from registry.domain.edits import AddField
from schemaevo.kernel.canonical import canonical_json, decode

MERGE_ARRAY = Policy(Strategy.MERGE_ARRAY)
NEEDED = 10

TYPES = st.sampled_from([kind.value for kind in FieldType])


@st.composite
def groups(draw: st.DrawFn) -> UserGroup:
    shape = draw(st.sampled_from(Shape))
    users = draw(st.integers(1, 40))
    if shape is Shape.FRAGMENTS:
        return UserGroup(shape, draw(st.one_of(TYPES, st.just(""))), users)
    policy = draw(st.sampled_from([DEFAULT_POLICY, MERGE_ARRAY]))
    return UserGroup(shape, draw(TYPES), users, policy)


uses = st.builds(FieldUse, st.sampled_from(["size", "size_id", "Größe"]), st.lists(groups()).map(tuple))


def waiting_of(use: FieldUse, *, each: int = 20) -> FieldCounts:
    """What waits where every user of a type who does not declare it has so many values of it."""
    types: Counter[str] = Counter()
    for group in use.groups:
        if group.shape is Shape.FRAGMENTS:
            types[group.type or "null"] += group.users * each
    users = use.of_shape(Shape.FRAGMENTS)
    return FieldCounts(
        types.total(), types.total(), types, {f"{kind}:x": n for kind, n in types.items()}, users, users
    )


def judged(use: FieldUse, **circumstances: Any) -> FieldPattern:
    return field_pattern(
        entity_type="thing",
        use=use,
        waiting=waiting_of(use),
        circumstances=Circumstances(**circumstances),
        users_needed=NEEDED,
    )


def declared(users: int, kind: str = "string", **more: Any) -> UserGroup:
    return UserGroup(Shape.OWN_SCHEMA, kind, users, **more)


def codes(pattern: FieldPattern) -> set[str]:
    return {obstacle.code for obstacle in pattern.obstacles}


# --- counting users -----------------------------------------------------------------------------------------------
@given(uses)
def test_every_user_is_counted_once_however_they_are_told(use: FieldUse) -> None:
    evidence: Any = judged(use).evidence(Surroundings(1_000))
    assert evidence["users"] == use.users == sum(evidence["types"].values())
    assert evidence["users"] == sum(evidence["declared_by"].values())
    dominant = evidence["types"].get(evidence["type"], 0)
    untyped = evidence["types"].get("null", 0)
    assert dominant + untyped + sum(one["users"] for one in evidence["conflicts"]) == use.users
    assert all(one["declared"] <= one["users"] for one in evidence["conflicts"])


@given(uses, st.randoms())
def test_the_order_of_the_groups_does_not_matter(use: FieldUse, random: Any) -> None:
    mixed = list(use.groups)
    random.shuffle(mixed)
    assert judged(FieldUse(use.name, tuple(mixed))).evidence(Surroundings(9)) == judged(use).evidence(
        Surroundings(9)
    )


@given(uses)
def test_what_is_proposed_comes_up_to_every_rule(use: FieldUse) -> None:
    pattern = judged(use)
    if pattern.is_eligible:
        assert use.users >= NEEDED
        assert use.type_share >= TYPE_SHARE
        assert pattern.judged.confidence.total >= 9_000
        assert pattern.judged.confidence.dominant_type == use.dominant_type
        [edit] = parse_edits(pattern.edits(()))
        assert isinstance(edit, AddField)
        assert (edit.field, edit.new.field.type) == (use.name, use.dominant_type)


@given(uses)
def test_evidence_is_plain_json_that_comes_back_as_it_was(use: FieldUse) -> None:
    evidence = judged(use).evidence(Surroundings(1_000, 5, (UsedName("sizes", 4),)))
    assert decode(canonical_json(evidence).encode()) == evidence


# --- the rules, at their borders ----------------------------------------------------------------------------------
@pytest.mark.parametrize(("users", "found"), [(9, {PatternObstacle.TOO_FEW_USERS}), (10, set())])
def test_ten_users_are_enough(users: int, found: set[str]) -> None:
    assert codes(judged(FieldUse("smell", (declared(users),)))) == found


@pytest.mark.parametrize(
    ("of_hundred", "found"),
    [(79, {PatternObstacle.TYPES_DIFFER, "confidence_too_low"}), (80, set())],
)
def test_eighty_per_cent_of_the_users_are_enough(of_hundred: int, found: set[str]) -> None:
    use = FieldUse("size_id", (declared(of_hundred), declared(100 - of_hundred, "number")))
    assert codes(judged(use)) == found


def test_where_all_declare_it_confidence_is_the_share_of_their_types_and_the_name() -> None:
    for name, of_name in (("smell", Fraction(1, 2)), ("smell_id", Fraction(1))):
        for share in range(50, 101):
            use = FieldUse(name, (declared(share), declared(100 - share, "number")))
            expected = 5_000 * Fraction(share, 100) + 2_500 + 1_500 * of_name + 1_000
            assert judged(use).judged.confidence.total == int(expected)


def test_one_declaration_more_never_speaks_against_a_field_of_that_type() -> None:
    """Nor does it where but few values wait of it: nine who declare it and one with three values are ten users."""
    few = FieldCounts(3, 3, {"string": 3}, {"string:text": 3}, 1, 1)
    use = FieldUse("smell", (declared(9), UserGroup(Shape.FRAGMENTS, "string", 1)))
    counts = counts_with_declarations(use, few)
    assert counts.sample_count == 9 * ENOUGH_SAMPLES + 3
    pattern = field_pattern(
        entity_type="thing", use=use, waiting=few, circumstances=Circumstances(), users_needed=NEEDED
    )
    assert pattern.is_eligible


def test_the_forms_of_waiting_values_count_and_a_declaration_has_none() -> None:
    mixed = FieldCounts(100, 100, {"string": 100}, {"string:text": 60, "string:url": 40}, 10, 10)
    use = FieldUse("smell", (declared(10), UserGroup(Shape.FRAGMENTS, "string", 10)))
    formats = counts_with_declarations(use, mixed).format_counts
    assert formats == {"string:text": 60, "string:url": 40}
    numbers = FieldUse("size", (declared(10, "number"), UserGroup(Shape.FRAGMENTS, "string", 1)))
    assert counts_with_declarations(numbers, mixed).format_counts["number:"] == 100


def test_of_equally_many_policies_the_one_that_somebody_chose_is_taken() -> None:
    use = FieldUse("tags", (declared(5, "array"), declared(5, "array", policy=MERGE_ARRAY)))
    assert next(iter(use.policies)) == MERGE_ARRAY
    assert next(iter(FieldUse("tags", (*use.groups, declared(1, "array"))).policies)) == DEFAULT_POLICY


def test_policies_and_converters_of_another_type_are_not_asked() -> None:
    other = declared(4, "number", policy=MERGE_ARRAY, converters=("string_to_number",))
    use = FieldUse("tags", (declared(6), other))
    assert (list(use.policies), use.converters) == ([DEFAULT_POLICY], ())


@pytest.mark.parametrize(
    ("of_hundred", "users", "is_conflict"), [(80, 1, True), (79, 1, False), (80, 0, False)]
)
def test_another_type_is_a_conflict_where_it_would_be_a_pattern(
    of_hundred: int, users: int, *, is_conflict: bool
) -> None:
    use = FieldUse("size", (declared(of_hundred), declared(100 - of_hundred, "boolean")))
    needed = 100 + 1 - users
    found = type_conflict(use=use, declared=FieldType.NUMBER, users_needed=needed)
    assert (found is not None) == is_conflict
    assert type_conflict(use=use, declared=FieldType.STRING, users_needed=1) is None


# --- near names ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("types", "typings"),
        ("type", "types"),
        ("createdAt", "created_at"),
        ("user-name", "username"),
        ("category", "categories"),
        ("box", "boxes"),
        ("created", "created_at"),
        ("active", "is_active"),
        ("colour", "color"),
        ("depends-on", "dependson"),
        ("homepage", "homepgae"),
        ("maintainer", "mantainers"),
    ],
)
def test_names_that_may_mean_the_same_are_near(one: str, other: str) -> None:
    assert are_near(one, other)
    assert are_near(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("line_1", "line_2"),
        ("sha1", "sha256"),
        ("title", "table"),
        ("owner", "other"),
        ("date", "data"),
        ("size", "unit_size"),
        ("net_amount", "amount"),
        ("version", "conversion"),
        ("class", "clas_x_y"),
        ("homepage", "homepge_xyz"),
    ],
)
def test_names_of_other_words_are_not(one: str, other: str) -> None:
    assert not are_near(one, other)


@given(st.text("abcdexyz_-1 ", min_size=1, max_size=14), st.text("abcdexyz_-1 ", min_size=1, max_size=14))
def test_being_near_goes_both_ways_and_no_name_is_near_to_itself(one: str, other: str) -> None:
    assert are_near(one, other) == are_near(other, one)
    assert not are_near(one, one)


@given(st.text("abcdefghij", min_size=5, max_size=20), st.integers(0, 20), st.sampled_from("klmnop"))
def test_one_letter_more_or_another_one_is_near(name: str, at: int, letter: str) -> None:
    at %= len(name)
    assert are_near(name, name[:at] + letter + name[at:])
    assert are_near(name, name[:at] + letter + name[at + 1 :])


@given(st.text("abc", min_size=8, max_size=12), st.text("abc", min_size=8, max_size=12))
def test_of_long_names_two_letters_may_be_others_and_not_three(one: str, other: str) -> None:
    """Against the table that everybody knows."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, row = row, [i]
        for j, opposite in enumerate(other, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != opposite)))
    if one != other:
        assert are_near(one, other) == (row[-1] <= 2)


def test_at_most_five_near_names_are_shown_declared_ones_first_then_by_users() -> None:
    names = [UsedName(f"typing{'s' * n}", n) for n in range(1, 2)]
    names += [UsedName(name, users) for name, users in (("types", 7), ("TYPES", 9), ("type", 8), ("Type", 3))]
    names += [UsedName("typ-es", 4), UsedName("tYpes", 0, is_declared=True), UsedName("keys", 99)]
    found = NearNames(names).of("typings")
    assert [near.name for near in found] == ["tYpes", "TYPES", "type", "types", "typ-es"][:SHOWN_MAX]
