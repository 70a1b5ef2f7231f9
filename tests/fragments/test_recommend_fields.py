"""The commands recommend_fields, ignore_fields and dismiss_field, as people and as machines read them."""

from __future__ import annotations

import pytest

from fragments.models import FieldDismissal, IgnoredPattern
from fragments.selectors_counting import REBUILD
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import User
from tests.factories import THING, make_definition, make_run, make_user, make_version
from tests.registry.commands import refusal, refused, run, said

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    """Ada's ten things: a good field, one that is rare, and a declared one of which some values do not fit."""
    ada = make_user(username="ada")
    make_version(document=make_definition(k="string", size="number"))
    records = [{"k": f"e{n}", "made_at": "2024-05-01", "size": str(n) if n < 4 else n} for n in range(10)]
    make_run(records=[*records, {"k": "e11", "rare": "x"}, {"k": "e12", "made_at": 1_557_933_565}], user=ada)
    return ada


def test_of_a_user_it_tells_what_is_recommended_and_which_converters_are_lacking(ada: User) -> None:
    assert said("recommend_fields", "--user", "ada").splitlines() == [
        "thing of ada: 1 recommended of 3 undeclared or waiting fields",
        "  + made_at: date by timestamp_s_to_iso, confidence 97.72 %, seen 11 times",
        "  Declared fields of which values of another type wait:",
        "    size (number): 4 values of another type",
        "        + string_to_number would convert 4 (100 %)",
    ]


def test_the_answer_for_machines_has_everything_exact(ada: User) -> None:
    answer = run("recommend_fields", "--user", "ada", "--entity-type", THING)
    assert (answer["user"], answer["counting"]) == ("ada", "done")
    [of_type] = answer["types"]
    assert (of_type["entity_type"], of_type["fields"], of_type["more"]) == (THING, 3, 0)
    [one] = of_type["recommendations"]
    assert (one["field"], one["eligible"], one["users"], one["values"], one["seen"]) == (
        *("made_at", True, 1, 11, 11),
    )
    assert one["suggested"] == {
        "type": "date",
        "converters": [{"from": "number", "to": "date", "function": "timestamp_s_to_iso"}],
        "required": False,
    }
    assert one["confidence"] == 0.9772
    assert [(factor["factor"], factor["weight"]) for factor in one["factors"]] == [
        *(("type", 0.5), ("format", 0.25), ("name", 0.15), ("samples", 0.1)),
    ]
    assert one["values_that"] == {
        "fit": 10,
        "would_be_converted": 1,
        "might_be_converted": 0,
        "do_not_fit": 0,
    }
    assert set(one["samples"]) <= {"2024-05-01", 1_557_933_565}
    [outlook] = of_type["converter_suggestions"]
    assert outlook["converters"] == [{"function": "string_to_number", "count": 4, "share": 1}]
    assert (outlook["field"], outlook["waiting"], outlook["is_exact"]) == ("size", 4, True)


def test_all_tells_what_speaks_against_the_others_and_why_explains_every_factor(ada: User) -> None:
    lines = said("recommend_fields", "--user", "ada", "--all", "--why", "--entity-type", THING).splitlines()
    assert "  - rare: string, confidence 83.50 %, seen 1 time" in lines
    assert "      seen 1 time; 3 are needed [seen_too_rarely]" in lines
    assert "      it is declared; what waits does not fit, or not yet [already_declared]" in lines
    assert "      type: 100 % of the values that are not null are of type date (100 % of 50 = 50.00)" in lines
    assert "      samples: 11 values (100 % of 10 = 10.00)" in lines
    assert "      of 11 values 10 fit, 1 would be converted" in lines
    assert '      such as "2024-05-01"' in lines
    # The best first, and what is not recommended after all that is.
    names = [line.split()[1].rstrip(":") for line in lines if line.startswith(("  +", "  -"))]
    assert names == ["made_at", "size", "rare"]


def test_over_all_users_it_counts_them_and_names_and_quotes_nobody(ada: User) -> None:
    make_run(records=[{"k": f"e{n}", "made_at": "2024-05-02"} for n in range(5)], user=make_user())
    text = said("recommend_fields", "--why")
    assert "thing of all users: 1 recommended of 3 undeclared or waiting fields" in text
    assert "seen 16 times by 2 users" in text
    assert "such as" not in text
    [one] = run("recommend_fields")["types"][0]["recommendations"]
    assert (one["users"], one["samples"]) == (2, [])


def test_a_limit_leaves_the_best_and_says_how_many_more(ada: User) -> None:
    assert "  and 2 more (--limit)" in said("recommend_fields", "--all", "--limit", "1").splitlines()
    assert run("recommend_fields", "--all", "--limit", "1")["types"][0]["more"] == 2
    assert refused("recommend_fields", "--limit", "0").returncode == 2


def test_while_fragments_are_counted_nothing_is_recommended(ada: User) -> None:
    job_request(kind=REBUILD)
    lines = said("recommend_fields", "--user", "ada").splitlines()
    assert lines[0] == "The fragments are still being counted: nothing is recommended until that is done."
    assert lines[1].startswith("thing of ada: 0 recommended")
    assert run("recommend_fields")["counting"] == "at_work"


def test_of_nothing_there_is_nothing() -> None:
    make_user(username="bob")
    assert run("recommend_fields", "--user", "bob") == {"user": "bob", "counting": "done", "types": []}
    assert run("recommend_fields")["types"] == []


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (("recommend_fields", "--user", "nobody"), 2),
        (("recommend_fields", "--entity-type", "No"), 2),
        (("ignore_fields", "*"), 2),
        (("ignore_fields", "x*", "--entity-type", "No"), 2),
        (("ignore_fields", "x*", "--user", "nobody"), 2),
        (("ignore_fields", "x*", "--remove"), 2),
        (("dismiss_field", THING, "smell", "--recall"), 2),
        (("dismiss_field", THING, "smell", "--until", "2020-01-01"), 2),
        (("dismiss_field", THING, "smell", "--until", "soon"), 2),
        (("dismiss_field", THING, "smell", "--recall", "--until", "2099-01-01"), 2),
        (("dismiss_field", "No", "smell"), 2),
    ],
)
def test_wrong_usage_is_told_apart(arguments: tuple[str, ...], exit_code: int) -> None:
    assert refused(*arguments).returncode == exit_code


def test_a_pattern_goes_on_the_list_is_shown_and_taken_off(ada: User) -> None:
    assert said("ignore_fields") == "The ignore list of all users is empty.\n"
    answer = run("ignore_fields", "Made*", "--user", "ada", "--reason", "dull")
    assert (answer["user"], answer["ignored"], answer["pattern"], answer["reason"]) == (
        *("ada", True, "made*", "dull"),
    )
    assert "made*, by shell:" in said("ignore_fields", "--user", "ada")
    assert "of ada: 0 recommended" in said("recommend_fields", "--user", "ada")
    assert "the ignore list has 'made*' [ignored]" in said("recommend_fields", "--user", "ada", "--all")
    assert said("ignore_fields", "made*", "--user", "ada", "--remove") == (
        "made* is not on the ignore list of ada any more.\n"
    )
    assert not IgnoredPattern.objects.exists()
    assert refusal("ignore_fields", "made*", "--remove").answer["error"] == "pattern_not_found"


def test_a_field_is_dismissed_snoozed_and_recalled(ada: User) -> None:
    assert said("dismiss_field", THING, "made_at", "--user", "ada", "--reason", "no use") == (
        "thing made_at of ada is dismissed.\n"
    )
    assert "dismissed: no use [dismissed]" in said("recommend_fields", "--user", "ada", "--all")
    answer = run("dismiss_field", THING, "made_at", "--user", "ada", "--until", "2099-01-31")
    assert (answer["dismissed"], answer["until"]) == (True, "2099-01-31T00:00:00+00:00")
    assert "snoozed until 2099-01-31 00:00 UTC" in said("recommend_fields", "--user", "ada", "--all")
    assert said("dismiss_field", THING, "made_at", "--user", "ada", "--recall") == (
        "thing made_at of ada may be recommended again.\n"
    )
    assert not FieldDismissal.objects.exists()
    assert refusal("dismiss_field", THING, "made_at", "--recall").answer["error"] == "dismissal_not_found"
