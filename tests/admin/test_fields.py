"""Fields over all owners: listed best first, filtered, exported, and told in full; and one owner's part in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fragments.domain.growth import FieldOwners
from fragments.models import (
    EnhancementMode,
    FieldTotal,
    LifecycleState,
    RawFragment,
    RawFragmentAggregate,
)
from fragments.selectors_fields import field_of_owner
from fragments.services.dismissals import field_dismiss
from fragments.services.enhancement import enhancement_set
from fragments.services.field_growth import growth_keep
from fragments.services.ignore_lists import pattern_ignore
from fragments.services.promotions import field_promote
from schemaevo.kernel.figures import today
from schemaevo.kernel.models import User
from schemaevo.kernel.pages import estimates
from tests.admin.addresses import list_of, page_of, verb_of
from tests.enhancements import make_given_up, make_undone
from tests.factories import SHELL, THING, make_definition, make_run, make_user, make_version
from tests.lifecycle import put
from tests.proposals.making import adding, make_draft
from tests.totals import make_totals

LIST = list_of(FieldTotal)
UNDECLARED = list_of(RawFragmentAggregate)
SECRET = "sesame-51ce"


@pytest.fixture
def owners(db: None) -> list[User]:
    """Three owners of `made_at` (dates) and `colour`, one of them of `rare`, which is of another type as well."""
    make_version(document=make_definition(k="string"))
    owners = [make_user(username=name) for name in ("ada", "bob", "cid")]
    for n, owner in enumerate(owners):
        records = [
            {"k": f"k{i}", "made_at": f"2024-01-{i + 1:02}", "colour": f"{SECRET}{i}"} for i in range(4 + n)
        ]
        make_run(user=owner, records=records)
    make_run(user=owners[0], source="another", records=[{"k": "k1", "rare": [1]}, {"k": "k2", "rare": "x"}])
    RawFragmentAggregate.objects.create(
        user=owners[1],
        entity_type="other",
        fragment_key="rare",
        sample_count=2,
        frequency_total=2,
        type_counts={"null": 2},
        format_counts={"null:": 2},
        last_seen_at=timezone.now() - timedelta(days=400),
    )
    make_totals()
    return owners


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html.partition('id="content"')[2])))


def read(client: Client, url: str, **query: str) -> str:
    answer = client.get(url, query)
    assert answer.status_code == 200
    return text_of(answer.content.decode())


def listed(client: Client, url: str = LIST, **query: str) -> list[str]:
    html = client.get(url, query).content.decode()
    return [
        unescape(name) for name in re.findall(r'<th[^>]*>\s*<a[^>]*>\s*<code class="se-code">([^<]*)', html)
    ]


def total(name: str, entity_type: str = THING) -> FieldTotal:
    return FieldTotal.objects.get(fragment_key=name, entity_type=entity_type)


def own(name: str, owner: User) -> RawFragmentAggregate:
    return RawFragmentAggregate.objects.get(fragment_key=name, user=owner)


# --- the list -------------------------------------------------------------------------------------------------
def test_the_list_has_the_surest_first_with_what_is_counted(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    assert listed(client) == ["made_at", "colour", "rare", "rare"]
    text = read(client, LIST)
    # All of one type and form, a name like a field's, fifteen values.
    assert "made_at thing 100 % 3 new date 100 % 15 15 3" in text
    assert "4 fields" in text
    assert re.search("added up: counted (now|. seconds? ago)", text)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"type": "other"}, ["rare"]),
        ({"field": "rare"}, ["rare", "rare"]),
        ({"field": "rar"}, []),
        ({"begins": "ra"}, ["rare", "rare"]),
        ({"begins": "%"}, []),
        ({"begins": "a\0"}, []),
        ({"value_type": "string"}, ["colour"]),
        ({"value_type": "no such"}, []),
        ({"confidence": "90"}, ["made_at", "colour"]),
        ({"confidence": "85"}, []),
        ({"confidence": "low"}, ["rare", "rare"]),
        ({"confidence": "100"}, []),
        ({"owners": "2"}, ["made_at", "colour"]),
        ({"owners": "many"}, []),
        ({"owners": "9" * 30}, []),
        ({"seen_from": "2024-01-01", "seen_to": "2199-01-01", "type": THING}, ["made_at", "colour", "rare"]),
        ({"seen_to": "2024-01-01"}, []),
        ({"seen_from": "yesterday"}, []),
        ({"q": "rare"}, ["rare", "rare"]),
        ({"q": SECRET}, []),
    ],
)
def test_the_list_is_filtered(
    owners: list[User], client_of: Callable[[str], Client], query: dict[str, str], found: list[str]
) -> None:
    assert listed(client_of("viewer"), **query) == found


def test_what_was_last_seen_long_ago_is_found(owners: list[User], client_of: Callable[[str], Client]) -> None:
    old = (timezone.now() - timedelta(days=300)).date().isoformat()
    assert [total("rare", "other").fragment_key] == listed(client_of("viewer"), seen_to=old)


def test_an_address_that_was_made_by_hand_reads_no_column(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    for lookup in ("type_counts", "user_count__gte", "fragment_key__contains"):
        assert client_of("viewer").get(f"{LIST}?{urlencode({lookup: 'a'})}").status_code == 400


def test_walking_through_the_list_meets_every_field_once(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    FieldTotal.objects.bulk_create(
        FieldTotal(
            entity_type="many",
            fragment_key=f"f{n}",
            user_count=n % 3,
            sample_count=1,
            frequency_total=1,
            unique_sources=1,
            type_consistency=10_000,
            confidence=9_000 + n % 5,
        )
        for n in range(120)
    )
    client, seen, counts = client_of("viewer"), [], []
    url: str | None = ""
    while url is not None:
        with CaptureQueriesContext(connection) as queries:
            html = client.get(LIST + url).content.decode()
        counts.append(len(queries))
        seen += re.findall(r"/fieldtotal/(\d+)/change/", html)
        following = re.search(r'rel="next" href="([^"]+)"', html)
        url = unescape(following[1]) if following else None
    best = FieldTotal.objects.order_by("-confidence", "-user_count", "-id").values_list("pk", flat=True)
    assert [int(pk) for pk in seen] == list(best)
    assert len(set(counts)) == 1


def test_what_owners_gained_is_told(owners: list[User], client_of: Callable[[str], Client]) -> None:
    before = [FieldOwners("made_at", 1), FieldOwners("colour", 5)]
    growth_keep(entity_type=THING, fields=before, day=today() - timedelta(days=20))
    make_totals()
    text = read(client_of("viewer"), LIST)
    assert "made_at thing 100 % 3 +2" in text
    assert "colour thing 92.5 % 3 −2 string" in text


# --- the page of a field over all owners ------------------------------------------------------------------------
def test_the_page_counts_now_and_not_what_was_counted(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    make_run(user=make_user(username="dot"), records=[{"k": "k", "made_at": "2024-02-02"}])
    client = client_of("viewer")
    text = read(client, page_of(total("made_at")))
    assert "Owners 4 Values 16 Seen 16 Sources 4 Type of most date" in text
    assert "made_at thing 100 % 3" in read(client, LIST)


def test_the_page_tells_every_factor_and_what_speaks_against_it(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    text = read(client_of("viewer"), page_of(total("rare")))
    assert "One type 50 % of the values that are not null are of type array 25 % 50 %" in text
    assert "Enough values 2 values; 10 are enough 2 % 10 %" in text
    assert "What speaks against it 2" in text
    assert "Seen 2 times; 6 are needed. Nothing is to be done" in text
    assert "90.00 % is needed. The factors tell what is missing" in text
    sure = read(client_of("viewer"), page_of(total("made_at")))
    assert "Nothing speaks against it eligible" in sure
    assert "It would be declared as date : 15 of the values fit, 0 would stay fragments" in sure


def test_the_page_names_the_owners_of_most_values_and_no_value(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    client = client_of("superuser")
    html = client.get(page_of(total("colour"))).content.decode()
    text = text_of(html)
    assert "cid string 100 % 6 6" in text
    assert text.index("cid string") < text.index("bob string") < text.index("ada string")
    assert page_of(own("colour", owners[2])) in html
    assert f"{UNDECLARED}?{urlencode({'type': THING, 'field': 'colour'})}" in unescape(html)
    assert SECRET not in html


def test_the_page_tells_what_nobody_wants_and_what_is_proposed(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    draft = make_draft(edits=adding("colour"))
    other = make_draft(edits=adding("else"))
    field_dismiss(entity_type=THING, name="colour", user_id=None, reason="free text", actor=SHELL)
    field_dismiss(entity_type=THING, name="colour", user_id=owners[0].pk, actor=SHELL)
    pattern_ignore(pattern="col*", entity_type="", user_id=None, reason="never", actor=SHELL)
    pattern_ignore(pattern="c*", entity_type="other", user_id=None, actor=SHELL)
    html = client_of("viewer").get(page_of(total("colour"))).content.decode()
    text = text_of(html)
    assert "Dismissed for all owners by" in text
    assert "free text" in text
    assert "Ignored by col* of every entity type : never" in text
    assert "c* of" not in text
    assert "1 owner does not get it recommended" in text
    assert page_of(draft) in html
    assert page_of(other) not in html


def test_the_page_draws_how_owners_became_more(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    assert "It was counted on one day so far" in read(client, page_of(total("made_at")))
    growth_keep(entity_type=THING, fields=[FieldOwners("made_at", 1)], day=today() - timedelta(days=3))
    make_totals()
    html = client.get(page_of(total("made_at"))).content.decode()
    assert "2 days were not counted" in text_of(html)
    assert 'data-type="line"' in html
    FieldTotal.objects.filter(fragment_key="made_at").update(fragment_key="unknown")
    assert "Its days are not kept" in read(client, page_of(total("unknown")))


def test_a_field_of_which_nothing_waits_any_more_says_so(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    put(LifecycleState.PROMOTED, fragment_key="made_at")
    text = read(client_of("viewer"), page_of(total("made_at")))
    assert "Nothing waits under this name any more" in text
    assert "Nobody has values of it that wait" in text
    make_totals()
    assert "made_at" not in listed(client_of("viewer"))


def test_the_page_costs_the_same_number_of_queries_however_many_owners_there_are(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    client, counts = client_of("superuser"), []
    for _round in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get(page_of(total("made_at")))
        counts.append(len(queries))
        for _ in range(25):
            make_run(user=make_user(), records=[{"k": "k", "made_at": "2024-01-01"}])
    assert counts[0] == counts[1]


# --- the page of one owner's field --------------------------------------------------------------------------------
def test_the_page_of_an_owners_field_tells_how_sure_it_is_and_what_became_of_it(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    undone = make_undone(user=owners[0], field="made_at")
    tried = make_given_up(user=owners[0], field="made_at")
    make_given_up(user=owners[1], field="made_at")
    html = client_of("viewer").get(page_of(own("made_at", owners[0]))).content.decode()
    text = text_of(html)
    assert "Confidence 94 % 85 % is needed" in text
    assert "Entities 4 First seen" in text
    assert "Active 4 Promoted 0 Archived 0 Pending deletion 0" in text
    assert page_of(undone) in html
    assert page_of(tried) in html
    assert html.count("/enhancement/") - html.count('/admin/fragments/enhancement/"') == 1
    assert "confidence 86.5 %, seen 12 times" in text
    assert page_of(total("made_at")) in html


def test_every_state_leads_to_the_fragments_of_it(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    first, second, *_ = RawFragment.objects.filter(user=owners[0], fragment_key="made_at").order_by("pk")
    put(LifecycleState.ARCHIVED, pk=first.pk)
    put(LifecycleState.PENDING_DELETION, pk=second.pk)
    client = client_of("viewer")
    html = client.get(page_of(own("made_at", owners[0]))).content.decode()
    for state, count in (("active", 2), ("archived", 1), ("pending_deletion", 1)):
        asked = {"owner": "ada", "type": THING, "field": "made_at", "state": state}
        url = f"{list_of(RawFragment)}?{urlencode(asked)}"
        assert url in unescape(html)
        assert client.get(url).content.decode().count('class="data-row') == count
    assert "state=promoted" not in html.partition('id="lives"')[2]


def test_a_promotion_can_be_undone_from_the_field_by_who_may(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    promoted = field_promote(
        user_id=owners[0].pk, entity_type=THING, field="colour", declaration={"type": "string"}, actor=SHELL
    ).promotion
    undo = verb_of(type(promoted), "undo", promoted.pk)
    page = page_of(own("colour", owners[0]))
    assert undo in client_of("superuser").get(page).content.decode()
    assert undo not in client_of("viewer").get(page).content.decode()
    assert "Already" in read(client_of("viewer"), page) or "It is declared" in read(client_of("viewer"), page)


def test_what_is_to_be_done_leads_there(owners: list[User], client_of: Callable[[str], Client]) -> None:
    enhancement_set(user_id=owners[0].pk, entity_type=THING, mode=EnhancementMode.OFF, actor=SHELL)
    page = page_of(own("made_at", owners[0]))
    assert "Set the mode" in read(client_of("schema_admin"), page)
    viewer = read(client_of("viewer"), page)
    assert "Set another mode" in viewer
    assert "Set the mode" not in viewer


def test_of_very_many_fragments_only_the_states_are_estimated(
    owners: list[User], client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "COUNTED_MAX", 3)
    found = field_of_owner(user_id=owners[2].pk, entity_type=THING, name="made_at")
    assert (found.lives.entities, found.lives.first_seen_at) == (None, None)
    assert not found.lives.by_state[LifecycleState.ACTIVE].is_exact
    assert found.lives.by_state[LifecycleState.PROMOTED].value == 0
    assert "≈" in read(client_of("viewer"), page_of(own("made_at", owners[2])))


# --- undeclared fields by confidence and age ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"owner": "ada", "confidence": "90"}, ["made_at"]),
        ({"owner": "ada", "confidence": "85"}, ["colour"]),
        ({"owner": "ada", "confidence": "70"}, []),
        ({"owner": "ada", "confidence": "low"}, ["rare"]),
        ({"owner": "bob", "confidence": "low", "type": THING}, []),
        ({"owner": "bob", "confidence": "low", "type": "other"}, ["rare"]),
        ({"owner": "nobody", "confidence": "90"}, []),
        ({"owner": "a\0b", "confidence": "90"}, []),
        ({"owner": "ada", "type": "a\0b", "confidence": "90"}, []),
        ({"owner": "ada", "confidence": "all"}, []),
        ({"confidence": "90"}, []),
        ({"owner": "bob", "seen_to": "2025-12-31"}, ["rare"]),
        ({"owner": "bob", "seen_from": "2026-01-01"}, ["colour", "made_at"]),
    ],
)
def test_undeclared_fields_are_filtered_by_confidence_and_age(
    owners: list[User], client_of: Callable[[str], Client], query: dict[str, str], found: list[str]
) -> None:
    assert sorted(listed(client_of("viewer"), UNDECLARED, **query)) == found


def test_without_an_owner_the_filter_leads_to_the_fields(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    html = client.get(UNDECLARED, {"confidence": "90", "type": THING}).content.decode()
    assert "choose an owner as well" in text_of(html)
    there = f"{LIST}?{urlencode({'type': THING, 'confidence': '90'})}"
    assert there in unescape(html)
    assert listed(client, there) == ["made_at", "colour"]
    assert "choose an owner" not in read(client, UNDECLARED, confidence="90", owner="ada")


def test_who_has_too_many_fields_to_look_at_is_told(
    owners: list[User], client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fragments.selectors_fields.FIELDS_READ", 1)
    text = read(client_of("viewer"), UNDECLARED, confidence="85", owner="ada")
    assert "has more than" in text
    assert "colour thing" in text
    assert "has more than" not in read(
        client_of("viewer"), UNDECLARED, confidence="90", owner="cid", type="other"
    )


def test_the_confidence_of_a_row_costs_no_query(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    assert "made_at thing ada 94 % date 100 % 4 4 1" in read(client, UNDECLARED)
    with CaptureQueriesContext(connection) as queries:
        client.get(UNDECLARED)
    assert len([query for query in queries if '"raw_fragment_aggregates"' in query["sql"]]) == 1
