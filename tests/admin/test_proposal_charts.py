"""Charts on the page of a proposal: the numbers of the tables beside them, and none where one number says it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from registry.admin.proposal_charts import BARS_SHOWN
from registry.models import Proposal, ProposalAct, ProposalTrial, TrialState
from tests.admin.addresses import page_of, verb_of
from tests.proposals.making import make_base, make_found, make_submitted, make_trial

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def base() -> None:
    make_base()


def charts(client: Client, url: str) -> dict[str, dict[str, Any]]:
    """What the charts of a page are given, by their labels."""
    html = client.get(url).content.decode()
    found = re.findall(r'role="img" aria-label="([^"]+)" data-chart>.*?data-value="([^"]+)"', html, re.DOTALL)
    return {label: json.loads(unescape(data)) for label, data in found}


def tried(fields: dict[str, Any], act: ProposalAct = ProposalAct.APPLY) -> Proposal:
    """A proposal whose trial found that."""
    proposal = make_submitted()
    trial = make_trial(proposal=proposal, state=TrialState.WAITING, act=act)
    ProposalTrial.objects.filter(pk=trial.pk).update(
        state=TrialState.DONE, finished_at=Now(), result={"format": 1, "fields": fields}
    )
    return proposal


def test_users_by_type_are_compared(client_of: Callable[[str], Client]) -> None:
    found = make_found(evidence={"users": 30, "types": {"array": 3, "string": 26, "number": 1, "date": 0}})
    chart = charts(client_of("viewer"), page_of(found))["Users by type"]
    assert chart["labels"] == ["string", "array", "number"]
    assert [one["data"] for one in chart["datasets"]] == [[26, 3, 1]]


@pytest.mark.parametrize("types", [{"string": 30}, {}, "odd", {"string": "many", "number": True}])
def test_one_type_needs_no_chart(client_of: Callable[[str], Client], types: Any) -> None:
    found = make_found(evidence={"users": 30, "types": types})
    assert charts(client_of("viewer"), page_of(found)) == {}


def test_what_becomes_of_fragments_is_compared_field_by_field(client_of: Callable[[str], Client]) -> None:
    proposal = tried(
        {
            "size": {"fits": 4, "converted": 1, "misfits": {"constraint": 2, "type_mismatch": 1}},
            "weight": {"fits": 40},
            "quiet": {"users": 3},
        }
    )
    label = "What becomes of the fragments that wait"
    for url in (page_of(proposal), verb_of(Proposal, "approve", proposal.pk)):
        chart = charts(client_of("schema_admin"), url)[label]
        assert chart["labels"] == ["weight", "size"]
        assert {one["label"]: one["data"] for one in chart["datasets"]} == {
            "fit": [40, 4],
            "converted": [0, 1],
            "do not fit": [0, 3],
        }


@pytest.mark.parametrize("fields", [{}, {"size": {"fits": 4}}, {"size": {"users": 4, "absorbed": 2}}])
def test_one_number_needs_no_chart(client_of: Callable[[str], Client], fields: Any) -> None:
    assert charts(client_of("viewer"), page_of(tried(fields))) == {}


def test_a_chart_shows_the_largest_and_the_table_all(client_of: Callable[[str], Client]) -> None:
    proposal = tried({f"f{n:02}": {"fits": n, "converted": 1} for n in range(1, BARS_SHOWN + 3)})
    html = client_of("viewer").get(page_of(proposal)).content.decode()
    (chart,) = charts(client_of("viewer"), page_of(proposal)).values()
    assert chart["labels"][0] == f"f{BARS_SHOWN + 2}"
    assert len(chart["labels"]) == BARS_SHOWN
    assert '<code class="se-code">f01</code>' in html
