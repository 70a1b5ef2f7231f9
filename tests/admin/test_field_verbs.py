"""What is done about one undeclared field in the browser: each verb tells first what it comes to, and then does it."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from fragments.models import (
    EnhancementMode,
    FieldDismissal,
    IgnoredPattern,
    LifecycleState,
    Promotion,
    PromotionCause,
    RawFragment,
    RawFragmentAggregate,
)
from fragments.services.dismissals import field_dismiss
from fragments.services.enhancement import enhancement_set
from fragments.services.ignore_lists import pattern_ignore
from fragments.services.promotions import field_promote
from registry.selectors import effective_schema
from schemaevo.kernel.models import AuditEvent, User
from tests.admin.addresses import page_of, verb_of
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_login,
    make_maximum,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)
from tests.fragments.trials import work
from tests.lifecycle import put

pytestmark = pytest.mark.django_db
SECRET = "sesame-77d1"
VERBS = ("promote", "dismiss", "ignore", "archive", "converters")


@pytest.fixture
def owner() -> User:
    """An owner to whom a global schema applies; of `size` two are numbers, one is after conversion, one is not."""
    make_version(document=make_definition(k="string"))
    work()
    owner = make_user(username="ada")
    sizes = [1, 2, "3", SECRET]
    make_run(user=owner, records=[{"k": f"k{n}", "size": size} for n, size in enumerate(sizes)])
    return owner


def row_of(field: str = "size") -> RawFragmentAggregate:
    return RawFragmentAggregate.objects.get(fragment_key=field)


def at(verb: str, field: str = "size") -> str:
    return verb_of(RawFragmentAggregate, verb, row_of(field).pk)


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html.partition('id="content"')[2] or html)))


def fact(html: str, name: str) -> str:
    """One of the figures of a page."""
    found = re.search(rf'data-fact="{name}">(.*?)</(?:dd|span></h2)', html, re.DOTALL)
    assert found is not None, name
    return text_of(found.group(1)).strip()


def look(client: Client, verb: str, field: str = "size", **query: Any) -> str:
    answer = client.get(f"{at(verb, field)}?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200
    return answer.content.decode()


# --- the page of a field ----------------------------------------------------------------------------------
def test_the_page_of_a_field_offers_what_can_be_done(owner: User, client_of: Callable[[str], Client]) -> None:
    html = client_of("schema_admin").get(page_of(row_of())).content.decode()
    for verb in ("promote", "dismiss", "ignore", "archive"):
        assert at(verb) in html
    assert at("converters") not in html
    assert "Auto-enhancement: suggest" in text_of(html)
    viewer = client_of("viewer").get(page_of(row_of())).content.decode()
    assert not any(at(verb) in viewer for verb in VERBS)
    operator = client_of("operator").get(page_of(row_of())).content.decode()
    assert [verb for verb in VERBS if at(verb) in operator] == ["dismiss", "archive"]


def test_the_page_tells_what_was_decided_and_leads_to_what_waits_for_its_deletion(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    field_dismiss(entity_type=THING, name="size", user_id=owner.pk, actor=SHELL, reason="only noise")
    enhancement_set(user_id=owner.pk, entity_type=THING, mode=EnhancementMode.AUTO, actor=SHELL)
    put(LifecycleState.PENDING_DELETION, value_format="integer")
    html = client_of("operator").get(page_of(row_of())).content.decode()
    text = text_of(html)
    assert "Auto-enhancement: auto" in text
    assert re.search(r"Dismissed by \S*tests: only noise", text)
    assert "restore/?owner=ada&amp;type=thing&amp;field=size" in html


def test_a_declared_field_of_which_something_waits_gets_a_converter_and_no_promotion(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    promote(owner)
    html = client_of("schema_admin").get(page_of(row_of())).content.decode()
    assert at("converters") in html
    assert at("promote") not in html


@pytest.mark.parametrize("verb", VERBS)
def test_a_field_that_there_is_not_is_not_found(
    owner: User, client_of: Callable[[str], Client], verb: str
) -> None:
    client = client_of("schema_admin")
    for pk in (0, 10**30):
        assert client.get(verb_of(RawFragmentAggregate, verb, pk)).status_code == 404
    assert client.put(at(verb)).status_code == 405


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("given", [{}, {"what": "\x00", "type": "\x00", "pattern": "\x00", "reason": "\x00"}])
def test_what_makes_no_sense_is_told_and_changes_nothing(
    owner: User, client_of: Callable[[str], Client], verb: str, given: dict[str, str]
) -> None:
    if verb == "archive" and not given:
        pytest.skip("it needs nothing")
    client = client_of("schema_admin")
    events = AuditEvent.objects.count()
    assert client.post(at(verb), {**given, "note": "\x00", "converter": "x"}).status_code == 200
    query = urlencode({**given, "converter": "x", "pattern": "\ud800".encode("utf-8", "surrogatepass")})
    assert client.get(f"{at(verb)}?{query}").status_code == 200
    assert AuditEvent.objects.count() == events


# --- promote ----------------------------------------------------------------------------------------------
def promote(owner: User, **declaration: Any) -> Promotion:
    promotion = field_promote(
        user_id=owner.pk,
        entity_type=THING,
        field="size",
        declaration={"type": "number", **declaration},
        actor=SHELL,
    ).promotion
    work()
    return promotion


def test_promoting_begins_with_what_is_suggested(owner: User, client_of: Callable[[str], Client]) -> None:
    html = look(client_of("schema_admin"), "promote")
    assert '<option value="number" selected>' in html or '<option value="string" selected>' in html
    assert fact(html, "waiting") == "4"


def test_promoting_tells_what_the_chosen_declaration_comes_to_and_then_does_it(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client = client_of("schema_admin")
    chosen: dict[str, Any] = {
        "type": "number",
        "converter": ["string_to_number"],
        "strategy": "highest_priority",
    }
    html = look(client, "promote", **chosen)
    assert [fact(html, name) for name in ("waiting", "fitting", "converted", "misfit", "snapshots")] == [
        *("4", "2", "1", "1", "4")
    ]
    assert fact(html, "fields") == "0 → 1 of 200"
    text = text_of(html)
    assert "k2 – 3" in text
    assert "highest_priority" in text
    assert not Promotion.objects.exists()

    answer = client.post(at("promote"), {**chosen, "note": "asked for by the owner"})
    promotion = Promotion.objects.get()
    assert answer["Location"] == page_of(promotion)
    assert (promotion.cause, promotion.note) == (PromotionCause.LOGIN, "asked for by the owner")
    work()
    assert make_snapshot(user=owner, key="k2").values == {"k": "k2", "size": 3}
    assert "The field is declared." in client.get(answer["Location"]).content.decode()


def test_converters_that_do_not_end_in_the_type_are_left_out_and_told(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client = client_of("schema_admin")
    chosen: dict[str, Any] = {"type": "string", "converter": ["string_to_number", "number_to_string"]}
    html = look(client, "promote", **chosen)
    assert "Left out, since it does not end in string: string_to_number." in text_of(html)
    assert [fact(html, name) for name in ("fitting", "converted")] == ["2", "2"]
    client.post(at("promote"), chosen)
    [converter] = Promotion.objects.get().declaration["converters"]
    assert converter["function"] == "number_to_string"


def test_who_may_not_see_values_is_only_told_which_entities_change(owner: User) -> None:
    login = make_login(role=None)
    login.user_permissions.add(*Permission.objects.filter(codename__in=["promote_field"]))
    client = Client()
    client.force_login(login, backend="django.contrib.auth.backends.ModelBackend")
    html = look(client, "promote", type="string")
    assert SECRET not in html
    assert "k3 hidden something else" in re.sub(r" lock ", " ", text_of(html))


def test_refusals_stand_on_the_page_before_and_after(owner: User, client_of: Callable[[str], Client]) -> None:
    make_version(document=make_definition(k="string"), user=owner, entity_type="other")
    make_maximum(user=owner, max_fields=1)
    client = client_of("schema_admin")
    html = look(client, "promote", type="number")
    assert "would have 2 fields; at most 1 are allowed" in text_of(html)
    assert verb_of_quota(owner) in html
    assert ">Promote</button>" not in html
    answer = client.post(at("promote"), {"type": "number"})
    assert answer.status_code == 200
    assert "would have 2 fields" in text_of(answer.content.decode())
    assert not Promotion.objects.exists()


def verb_of_quota(owner: User) -> str:
    return reverse("admin:registry_userquota_ask", args=[owner.pk])


def test_what_is_declared_already_leads_to_converters(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    promote(owner)
    html = look(client_of("schema_admin"), "promote", type="number")
    assert "is declared already, as number" in text_of(html)
    assert at("converters") in html


def test_looking_costs_the_same_however_much_waits(owner: User, client_of: Callable[[str], Client]) -> None:
    client = client_of("schema_admin")

    def queries(verb: str) -> int:
        look(client, verb, type="number", converter="string_to_number")
        with CaptureQueriesContext(connection) as captured:
            look(client, verb, type="number", converter="string_to_number")
        assert not any("FOR UPDATE" in one["sql"] or "INSERT" in one["sql"] for one in captured)
        return len(captured)

    make_run(user=owner, records=[{"k": f"m{n}", "size": n} for n in range(12)])
    few = {verb: queries(verb) for verb in VERBS}
    make_run(user=owner, records=[{"k": f"n{n}", "size": n, f"x{n}": n} for n in range(60)])
    assert {verb: queries(verb) for verb in VERBS} == few


# --- dismiss, snooze, recall ------------------------------------------------------------------------------
def test_a_field_is_dismissed_snoozed_and_recalled(owner: User, client_of: Callable[[str], Client]) -> None:
    client = client_of("operator")
    html = look(client, "dismiss")
    assert (fact(html, "state"), fact(html, "waiting")) == ("nothing was decided", "4")
    assert 'value="recall"' not in html
    assert client.post(at("dismiss"), {"what": "dismiss", "reason": "noise"})["Location"] == page_of(row_of())
    row = FieldDismissal.objects.get()
    assert (row.until, row.reason, row.user_id) == (None, "noise", owner.pk)
    html = look(client, "dismiss")
    assert fact(html, "state") == "dismissed"
    assert 'value="recall" checked' in html
    client.post(at("dismiss"), {"what": "snooze", "until": "2100-01-01T00:00"})
    assert FieldDismissal.objects.get().until is not None
    client.post(at("dismiss"), {"what": "recall"})
    assert not FieldDismissal.objects.exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "Choose what is to be done."),
        ({"what": "snooze"}, "Say until when."),
        ({"what": "snooze", "until": "2001-01-01T00:00"}, "until a time in the future"),
        ({"what": "snooze", "until": "9999-01-01T00:00"}, "before the year 3000"),
        ({"what": "snooze", "until": "soon"}, "Enter a valid date/time."),
    ],
)
def test_a_decision_that_makes_no_sense_is_told_so(
    owner: User, client_of: Callable[[str], Client], given: dict[str, str], told: str
) -> None:
    answer = client_of("operator").post(at("dismiss"), given)
    assert answer.status_code == 200
    assert told in text_of(answer.content.decode())
    assert not FieldDismissal.objects.exists()


# --- ignore by pattern ------------------------------------------------------------------------------------
def test_a_pattern_tells_which_fields_it_hits_and_is_then_on_the_list(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    make_run(user=owner, records=[{"k": "k0", **{f"X-Tmp{n}": n for n in range(22)}}])
    client = client_of("schema_admin")
    html = look(client, "ignore")
    assert fact(html, "hits").startswith("1")
    html = look(client, "ignore", pattern="X-*")
    assert fact(html, "hits").startswith("22")
    text = text_of(html)
    assert "And 2 more." in text
    assert "It does not hit size." in text
    assert client.post(at("ignore"), {"what": "ignore", "pattern": "X-*"})["Location"] == page_of(row_of())
    row = IgnoredPattern.objects.get()
    assert (row.pattern, row.entity_type, row.user_id) == ("x_*", THING, owner.pk)
    assert "x_*" in text_of(look(client, "ignore"))
    assert client.post(at("ignore"), {"what": "recall", "pattern": "x_*"})["Location"] == at("ignore")
    assert not IgnoredPattern.objects.exists()


def test_a_pattern_for_all_types_is_taken_off_as_one(owner: User, client_of: Callable[[str], Client]) -> None:
    pattern_ignore(pattern="siz?", user_id=owner.pk, actor=SHELL)
    client = client_of("schema_admin")
    assert "hits this field" in text_of(look(client, "ignore"))
    client.post(at("ignore"), {"what": "recall", "pattern": "siz?", "every_type": "on"})
    assert not IgnoredPattern.objects.exists()


@pytest.mark.parametrize("pattern", ["*", "", "y" * 200, "a\nb"])
def test_a_pattern_that_cannot_be_used_is_told_so(
    owner: User, client_of: Callable[[str], Client], pattern: str
) -> None:
    client = client_of("schema_admin")
    assert "hits" not in re.findall(r'data-fact="(\w+)"', look(client, "ignore", pattern=pattern))
    assert client.post(at("ignore"), {"what": "ignore", "pattern": pattern}).status_code == 200
    assert not IgnoredPattern.objects.exists()


# --- archive ----------------------------------------------------------------------------------------------
def test_what_is_active_is_archived_after_a_look_at_the_numbers(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    put(LifecycleState.PENDING_DELETION, value_format="integer")
    make_run(user=owner, records=[{"k": "k0", "else": 1}])
    client = client_of("operator")
    html = look(client, "archive")
    assert [fact(html, state) for state in LifecycleState.values] == ["2", "0", "0", "2"]
    assert "restore/?owner=ada" in html
    assert client.post(at("archive"), {"reason": "noise"})["Location"] == page_of(row_of())
    rows = RawFragment.objects.filter(fragment_key="size").order_by("lifecycle_state")
    assert [row.lifecycle_state for row in rows] == ["archived"] * 2 + ["pending_deletion"] * 2
    assert RawFragment.objects.get(fragment_key="else").lifecycle_state == "active"
    assert row_of().sample_count == 2
    assert "Nothing of the field is active" in text_of(look(client, "archive"))


# --- converters -------------------------------------------------------------------------------------------
def test_each_converter_tells_what_it_would_read_and_is_added(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    promote(owner)
    client = client_of("schema_admin")
    html = look(client, "converters")
    assert text_of(html).count("string_to_number") == 1
    assert re.search(r'data-reads="string_to_number">\D*1\D', html)
    html = look(client, "converters", converter="string_to_number")
    assert [fact(html, name) for name in ("waiting", "converted", "misfit")] == ["2", "1", "1"]
    answer = client.post(at("converters"), {"converter": "string_to_number", "note": "they come as text"})
    assert answer["Location"] == at("converters")
    assert "What waits is looked at again" in text_of(client.get(answer["Location"]).content.decode())
    work()
    assert make_snapshot(user=owner, key="k2").values == {"k": "k2", "size": 3}
    definition = effective_schema(entity_type=THING, user_id=owner.pk).definition
    assert definition is not None
    assert [one.function for one in definition.fields["size"].converters] == ["string_to_number"]


def test_a_field_of_the_global_schema_leads_to_a_proposal(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    make_version(document=make_definition(k="string", weight="number"))
    make_run(user=owner, records=[{"k": "k0", "weight": "5"}])
    client = client_of("schema_admin")
    html = look(client, "converters", field="weight")
    assert "The global schema declares weight" in text_of(html)
    assert "/proposal/draft/?type=thing" in html
    answer = client.post(at("converters", "weight"), {"converter": "string_to_number"})
    assert answer.status_code == 200
    assert "The global schema declares weight" in text_of(answer.content.decode())


def test_what_is_not_declared_leads_to_its_promotion(owner: User, client_of: Callable[[str], Client]) -> None:
    html = look(client_of("schema_admin"), "converters")
    assert "is not declared for this owner" in text_of(html)
    assert at("promote") in html


@pytest.mark.parametrize(
    ("verb", "given"), [("promote", {"type": "number"}), ("converters", {"converter": "string_to_number"})]
)
def test_a_reason_that_is_too_long_is_shown_again_and_told(
    owner: User, client_of: Callable[[str], Client], verb: str, given: dict[str, str]
) -> None:
    if verb == "converters":
        promote(owner)
    # Each end of a line counts twice once it is sent.
    answer = client_of("schema_admin").post(at(verb), {**given, "note": "because\r\n" * 300})
    html = answer.content.decode()
    assert answer.status_code == 200
    assert "because\r\nbecause" in html
    assert "at most 2000 characters" in html
    assert Promotion.objects.count() == (verb == "converters")


def test_what_was_ticked_stays_so_where_names_are_not_ignored_yet(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    given = {"what": "ignore", "pattern": "siz*", "reason": "because\r\n" * 300}
    client = client_of("schema_admin")
    assert (
        'name="every_type" checked'
        in client.post(at("ignore"), {**given, "every_type": "on"}).content.decode()
    )
    assert 'name="every_type">' in client.post(at("ignore"), given).content.decode()
    assert 'name="every_type">' in client.get(at("ignore")).content.decode()
    assert not IgnoredPattern.objects.exists()
