"""Random definitions and histories: small alphabets, so that ties, clears and equal items are common."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from registry.domain.converters import CONVERTERS
from registry.domain.definition import Converter, Definition, Field, Policy
from registry.domain.fit import is_admitted
from registry.domain.vocabulary import DEFAULT_KIND_ORDER, FieldType, Strategy, TieBreaker
from schemaevo.kernel.canonical import Json
from snapshots.domain.observed import DELETED_KEY, Observed

FIELD_NAMES = ("a", "b", "Ruby-Versions", "Straße", "constructor")

scalars: st.SearchStrategy[Json] = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -3,
        Decimal("1.5"),
        10**21,
        1_700_000_000,
        "",
        "a",
        "1",
        "1.50",
        "yes",
        "no",
        "2024-01-01",
    ]
)
json_texts = st.sampled_from(["[]", '["a", 1]', " [null]", "[1.0,1,[2]]", "[broken", '{"a":1}', "[NaN]"])
nested: st.SearchStrategy[Json] = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.sampled_from(["x", "y"]), scalars, max_size=2),
)
values: st.SearchStrategy[Json] = st.one_of(st.none(), nested, json_texts, st.lists(nested, max_size=3))


specificities: st.SearchStrategy[int | Decimal] = st.sampled_from(
    [0, 1, 2, -1, Decimal("0.5"), Decimal("1E-7")]
)


def ids(number: int) -> str:
    """A UUID text whose order is that of the numbers."""
    return f"{number:08x}-0000-4000-8000-000000000000"


@st.composite
def fields(draw: st.DrawFn, name: str) -> Field:
    field_type = draw(st.sampled_from(FieldType))
    ending = [
        Converter(spec.source, spec.target, function)
        for function, spec in CONVERTERS.items()
        if spec.target is field_type
    ]
    converters = draw(st.lists(st.sampled_from(ending), max_size=3, unique=True)) if ending else []
    return Field(name=name, type=field_type, converters=tuple(converters))


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    names = draw(st.lists(st.sampled_from(FIELD_NAMES), unique=True))
    policies = st.builds(Policy, st.sampled_from(Strategy), st.sampled_from(TieBreaker))
    kinds = st.lists(st.sampled_from([*DEFAULT_KIND_ORDER, "probe"]), unique=True, max_size=4).map(tuple)
    return Definition(
        fields={name: draw(fields(name)) for name in names},
        merge_policies={name: draw(policies) for name in names if draw(st.booleans())},
        observation_source_priority=draw(st.none() | kinds),
    )


@st.composite
def histories(draw: st.DrawFn, max_size: int = 12) -> list[Observed]:
    """Observations with distinct ids, some of whose fields arrive later as promotion observations."""
    history: list[Observed] = []
    for number in range(draw(st.integers(0, max_size))):
        said = draw(st.dictionaries(st.sampled_from(FIELD_NAMES), values, max_size=4))
        mark = draw(st.sampled_from([None, None, None, True, True, False, 1]))
        observed = Observed(
            id=ids(number),
            observed_us=draw(st.integers(-2, 2)),
            priority=draw(st.sampled_from([100, 100, 1000, -1])),
            specificity=draw(specificities),
            kind=draw(st.sampled_from([None, "sensor", "import", "sync", "human", "probe"])),
            fields=said if mark is None else {**said, DELETED_KEY: mark},
        )
        promoted = draw(st.sets(st.sampled_from(sorted(said)), max_size=2)) if said else set()
        kept = {name: value for name, value in observed.fields.items() if name not in promoted}
        history.append(observed._replace(fields=kept))
        for place, name in enumerate(sorted(promoted)):
            # Its own id sorts anywhere, since only the origin's may count.
            own = ids(draw(st.integers(1, 9)) * 10_000 + number * 10 + place)
            history.append(observed._replace(id=own, ranks_as=observed.id, fields={name: said[name]}))
    return history


def as_if_declared_from_the_start(history: list[Observed], definition: Definition | None) -> list[Observed]:
    """The history in which the origins still carry what was promoted from them, as far as ingest would let it in."""
    whole = {observed.id: observed for observed in history if observed.ranks_as is None}
    for observed in history:
        if observed.ranks_as is not None:
            ((name, value),) = observed.fields.items()
            field = definition.fields.get(name) if definition else None
            if field is not None and not is_admitted(value, field):
                continue
            origin = whole[observed.ranks_as]
            whole[origin.id] = origin._replace(fields={**origin.fields, **observed.fields})
    return list(whole.values())
