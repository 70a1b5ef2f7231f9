"""Owners are found by what people call them, in whatever form they write it."""

import pytest

from schemaevo.kernel.errors import NotFound
from schemaevo.kernel.owners import owner_name, user_by_name
from tests.factories import make_user

pytestmark = pytest.mark.django_db

COMPOSED, DECOMPOSED = "Jos\u00e9", "Jose\u0301"


def test_two_unicode_forms_of_a_name_are_one_owner() -> None:
    owner = make_user(username=owner_name(DECOMPOSED))
    assert owner.username == COMPOSED
    assert user_by_name(DECOMPOSED) == user_by_name(COMPOSED) == owner


@pytest.mark.parametrize("name", ["\udcff", "a\0b", ""])
def test_a_name_that_no_row_can_hold_is_nobodys(name: str) -> None:
    make_user()  # without an e-mail, which is no name
    with pytest.raises(NotFound) as refusal:
        user_by_name(name)
    assert refusal.value.code == "user_not_found"
