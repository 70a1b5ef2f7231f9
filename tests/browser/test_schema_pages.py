"""The pages of extensions and compatibility in a real browser, in both themes and on a phone."""

from collections.abc import Callable

import pytest

from registry.models import ExtensionRevision, SchemaCompatibility
from registry.services.compatibility import compatibility_set
from registry.services.extensions import extension_save
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.models import User
from tests.admin.addresses import list_of, page_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import SHELL, THING, make_definition, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)

EXTENSION: Json = {
    "additional_fields": {
        "c": {"type": "array", "description": "said at length, " * 20},
        "a-name-as-long-as-names-of-real-data-are": {"type": "number", "converters": ["string_to_number"]},
    },
    "field_overrides": {"b": {"constraints": {"min": 3, "enum": [*range(3, 60)]}}},
}


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_extensions_and_modes_are_read_without_complaint_or_overflow(
    visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    make_version(document=make_definition(a="string", b="number"))
    owner = make_user(username="ada")
    revision = extension_save(entity_type=THING, user_id=owner.pk, document=EXTENSION, actor=SHELL).revision
    # Of what the extension says, c does not agree any more.
    make_version(document=make_definition(a="string", b="number", c="string"))
    compatibility_set(entity_type=THING, mode="FULL_TRANSITIVE", actor=SHELL)
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("superuser"))
    pages = [list_of(ExtensionRevision), page_of(revision), list_of(SchemaCompatibility)]
    for path in [*pages, page_of(SchemaCompatibility.objects.get())]:
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
    text = opened.go(page_of(revision)).locator(".se-panel-warn").inner_text()
    assert "the user's own stands" in text
