"""I8: every accepted field value is in an observation or a fragment, exactly; every refused record a dead letter."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fragments.models import RawFragment
from registry.domain.definition import Definition
from schemaevo.kernel.canonical import Json, canonical_json, decode
from schemaevo.kernel.errors import Invalid
from snapshots.models import EntitySnapshot, Observation
from snapshots.services.verify import snapshots_verify
from tests.content import stored_content
from tests.domain.histories import FIELD_NAMES, definitions, values
from tests.factories import make_run, make_user, make_version
from tests.rounds import rounds

names = st.sampled_from(
    [
        *FIELD_NAMES,
        "k",
        "owner",
        "_deleted",
        "_x",
        "",
        " a",
        "A",
        "a.b",
        "x" * 200,
        "e\u0301",
        "\u202e",
        "'\"\\",
    ]
)
records = st.dictionaries(names, values, max_size=6).flatmap(
    lambda fields: st.sampled_from(["one", "two", 3]).map(lambda key: {**fields, "k": key})
)
junk = st.sampled_from([b"{", b"[]", b"{}", b'{"k":"\\u0000"}', b'{"k":NaN}', b"\xff"])


@pytest.mark.rounds
@pytest.mark.django_db
@settings(
    max_examples=rounds(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    definition=st.none() | definitions(),
    lines=st.lists(st.one_of(records, records, records, junk), max_size=8),
    batch_size=st.integers(1, 4),
)
def test_every_value_is_somewhere(
    definition: Definition | None, lines: list[dict[str, Json] | bytes], batch_size: int
) -> None:
    with transaction.atomic():
        owner = make_user()
        if definition is not None:
            make_version(document=definition.to_json())
        run = make_run(user=owner, records=lines, batch_size=batch_size)
        accepted = [record for record in lines if isinstance(record, dict)]
        assert run.record_count == len(lines)
        assert run.observation_count == len(accepted)
        assert run.rejected_count == run.dead_letters.count() == len(lines) - len(accepted)
        for letter in run.dead_letters.all():
            raw = bytes(letter.raw)
            assert raw in lines
            assert is_refused(raw)

        observations = Observation.objects.order_by("observed_at")
        for record, observation in zip(accepted, observations, strict=True):
            assert_is_kept(record, observation)
        ids = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
        assert snapshots_verify(ids).divergent == []

        before = stored_content()
        assert make_run(user=owner, records=lines).duplicate_count == len(accepted)
        assert stored_content() == before
        transaction.set_rollback(True)


def is_refused(raw: bytes) -> bool:
    try:
        document = decode(raw)
    except Invalid:
        return True
    return not isinstance(document, dict) or "k" not in document


def assert_is_kept(record: dict[str, Json], observation: Observation) -> None:
    """Every field in its place: the declared in the observation, what it was before conversion in a fragment."""
    assert isinstance(observation.fields, dict)
    fragments: dict[str, set[str]] = {}
    for row in RawFragment.objects.filter(entity_id=observation.entity_id):
        fragments.setdefault(row.fragment_key, set()).add(canonical_json(row.value))
    assert set(observation.fields) <= set(record)
    for name, value in record.items():
        exact: Any = canonical_json(value)
        if name == "k":
            assert observation.entity.entity_key == str(value)
            continue
        in_observation = name in observation.fields and canonical_json(observation.fields[name]) == exact
        assert in_observation or exact in fragments.get(name, set()), (name, value)
