"""Ids that follow from content, so that the same record is the same row wherever and whenever it arrives."""

from __future__ import annotations

from hashlib import blake2b

from schemaevo.kernel.canonical import Json, canonical_bytes


def entity_id(user_id: int, entity_type: str, entity_key: str) -> str:
    """The id of the entity that one user calls `entity_key`, as lower-case UUID text."""
    return _uuid(b"entity", canonical_bytes([user_id, entity_type, entity_key]))


def source_id(user_id: int, name: str, content_hash: str) -> str:
    """The id of a source of one user."""
    return _uuid(b"source", canonical_bytes([user_id, name, content_hash]))


def named_observation_id(user_id: int, given: str) -> str:
    """The id of an observation that its sender named; names of two users never meet."""
    return _uuid(b"named", canonical_bytes([user_id, given]))


def observation_content_id(
    *,
    entity: str,
    source: str,
    observed_us: int,
    priority: int,
    specificity: Json,
    kind: str | None,
    record: bytes,
) -> str:
    """The id that an observation's content gives.

    `entity` and `source` are ids that hold the user already; `record` is the canonical text of all fields as they
    came, also of those that become fragments.
    """
    trusted = canonical_bytes([entity, source, observed_us, priority, specificity, kind])
    return _uuid(b"observation", b"%b,%b]" % (trusted[:-1], record))


def promotion_observation_id(ranks_as: str, field: str) -> str:
    """The id of the observation by which a promotion says what the observation `ranks_as` once said of a field."""
    return _uuid(b"promotion", canonical_bytes([ranks_as, field]))


def _uuid(purpose: bytes, canonical: bytes) -> str:
    """A UUID of version 8 (RFC 9562: the content is the application's own), 122 bits of BLAKE2b."""
    text = blake2b(canonical, digest_size=16, person=purpose).hexdigest()
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


#: The first digit of the second half with its two highest bits as RFC 9562 wants them.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
