"""The database field for JSON whose numbers must come back exactly as they went in."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import JSONField
from psycopg.types.json import Jsonb

from schemaevo.kernel.canonical import Json, canonical_bytes, decode_trusted


class ExactJSONField(JSONField):
    """A jsonb column. Values are made of int and Decimal, never float: 0.1 and 2**70 survive.

    Django's own field would read numbers as floats. Bulk paths write by COPY and read by cursor; this field
    is for pages and for small writes.
    """

    def from_db_value(self, value: str | bytes | None, expression: Any, connection: Any) -> Json:
        if value is None:
            return None
        # A key transform may hand back an already decoded piece.
        return decode_trusted(value) if isinstance(value, (str, bytes)) else value

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Jsonb | None:
        return None if value is None else Jsonb(value, dumps=canonical_bytes)
