"""A list without a row says what would stand there and how it gets there."""

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from registry.models import Proposal
from schemaevo.kernel.models import AuditEvent
from tests.admin.addresses import READ_ONLY, list_of


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model._meta.model_name)
def test_an_empty_list_says_what_would_stand_there(
    client_of: Callable[[str], Client], db: None, model: type[Model]
) -> None:
    client = client_of("superuser")
    html = client.get(list_of(model)).content.decode()
    if model is AuditEvent:
        # Whoever signed in left a line.
        return
    assert "There is nothing here yet" in html
    shown_by = admin.site._registry[model]
    said = str(getattr(shown_by, "nothing_yet", ""))
    if model is not Proposal:
        assert said
    assert escape(said) in html
    if begins_at := getattr(shown_by, "begins_at", None):
        assert f'href="{reverse(begins_at[1])}"' in html


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model._meta.model_name)
def test_a_list_is_called_by_what_it_lists(
    client_of: Callable[[str], Client], db: None, model: type[Model]
) -> None:
    html = client_of("superuser").get(list_of(model)).content.decode()
    named = str(model._meta.verbose_name_plural)
    title = html[html.index("<title>") : html.index("</title>")]
    assert f"{named[0].upper()}{named[1:]} |" in title
