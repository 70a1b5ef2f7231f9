"""Ids that follow from content, so that the same record is the same row wherever and whenever it arrives."""

from __future__ import annotations

from hashlib import blake2b

from schemaevo.kernel.canonical import Json, canonical_bytes


def entity_id(user_id: int, entity_type: str, entity_key: str) -> str:
    """The id of the entity that one user calls `entity_key`, as lower-case UUID text."""
    return _uuid(b"entity", [user_id, entity_type, entity_key])


def source_id(user_id: int, name: str, content_hash: str) -> str:
    """The id of a source of one user."""
    return _uuid(b"source", [user_id, name, content_hash])


def named_observation_id(user_id: int, given: str) -> str:
    """The id of an observation that its sender named; names of two users never meet."""
    return _uuid(b"named", [user_id, given])


def observation_content_id(
    *,
    entity: str,
    source: str,
    observed_us: int,
    priority: int,
    specificity: Json,
    kind: str | None,
    record: dict[str, Json],
) -> str:
    """The id that an observation's content gives.

    `entity` and `source` are ids that hold the user already; `record` has all fields as they came, also those
    that become fragments.
    """
    return _uuid(b"observation", [entity, source, observed_us, priority, specificity, kind, record])


def _uuid(purpose: bytes, content: list[Json]) -> str:
    """A UUID of version 8 (RFC 9562: the content is the application's own), 122 bits of BLAKE2b."""
    digest = bytearray(blake2b(canonical_bytes(content), digest_size=16, person=purpose).digest())
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
