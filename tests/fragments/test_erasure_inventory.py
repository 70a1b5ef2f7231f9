"""Every table and column of the database stands in the list that erasure goes by."""

from __future__ import annotations

import pytest

from fragments.services.erasure_inventory import (
    CLEARED,
    ENTITY,
    FEW_OF_ENTITY,
    HARMLESS,
    MANY_OF_ENTITY,
    OF_OWNER,
    OTHERWISE,
)
from tests.erasing import tables

pytestmark = pytest.mark.django_db

#: Of these types a value is a number, a time or an id made of others, and says nothing by itself.
SAY_NOTHING = {
    "bigint",
    "integer",
    "smallint",
    "boolean",
    "uuid",
    "date",
    "timestamp with time zone",
    "double precision",
    "inet",
}
GONE = {owned.table for owned in (*MANY_OF_ENTITY, *FEW_OF_ENTITY, ENTITY, *OF_OWNER)}


def saying_columns() -> set[str]:
    """The columns that can hold a text, of tables whose rows do not go with their owner."""
    return {
        f"{table}.{column}"
        for table, columns in tables().items()
        if table not in GONE
        for column, kind in columns.items()
        if kind not in SAY_NOTHING
    }


def test_every_column_that_can_hold_a_text_is_cleared_or_known_to_be_harmless() -> None:
    cleared = {f"{one.table}.{column}" for one in CLEARED for column in (*one.texts, *one.documents)}
    listed = {*cleared, *OTHERWISE, *HARMLESS}
    missing = sorted(saying_columns() - listed)
    assert not missing, " ".join(missing)


def test_the_list_names_nothing_that_is_not_there() -> None:
    there = {f"{table}.{column}" for table, columns in tables().items() for column in columns}
    assert {*OTHERWISE, *HARMLESS} - there == set()
    assert {*OTHERWISE} & {*HARMLESS} == set()
    assert set(tables()) >= GONE


def test_every_table_with_an_owner_loses_their_rows() -> None:
    with_owner = {table for table, columns in tables().items() if "user_id" in columns}
    assert with_owner - GONE == {"django_admin_log", "erasures", "users_groups", "users_user_permissions"}
