"""JSON comes back from the database exactly as it went in."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from schemaevo.kernel.canonical import exact_number
from schemaevo.kernel.fields import ExactJSONField
from schemaevo.kernel.models import Job, JobQueue

numbers = st.one_of(
    st.integers(-(2**80), 2**80),
    st.decimals(allow_nan=False, allow_infinity=False, places=9).map(exact_number),
    st.sampled_from([10**308, Decimal("1E-308"), Decimal("0.1")]),
)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=10,
)


@pytest.mark.django_db
@settings(max_examples=50, deadline=None)
@given(st.dictionaries(texts, values, max_size=4))
def test_a_value_survives_with_its_types(value):
    job = Job.objects.create(kind="k", target="t", queue=JobQueue.INTERACTIVE, state="done", options=value)

    back = Job.objects.get(pk=job.pk).options

    assert back == value
    assert repr(sorted_deep(back)) == repr(sorted_deep(value))


def sorted_deep(value):
    if isinstance(value, dict):
        return [(key, sorted_deep(value[key])) for key in sorted(value)]
    return [sorted_deep(item) for item in value] if isinstance(value, list) else value


@pytest.mark.django_db
def test_none_is_no_value_and_not_a_json_null():
    job = Job.objects.create(kind="k", queue=JobQueue.INTERACTIVE, state="done", cursor=None)

    assert Job.objects.filter(pk=job.pk, cursor__isnull=True).exists()


@pytest.mark.django_db
def test_a_piece_can_be_asked_for():
    Job.objects.create(kind="k", queue=JobQueue.INTERACTIVE, state="done", options={"a": {"b": 2**70}})

    assert Job.objects.values_list("options__a", flat=True).get() == {"b": 2**70}
    assert Job.objects.filter(options__a__b=2**70).exists()


def test_a_piece_that_is_already_decoded_passes():
    decoded: Any = ["x"]

    assert ExactJSONField().from_db_value(decoded, None, connection) == ["x"]
