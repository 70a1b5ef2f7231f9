"""The families of errors that a person or a caller can act on; everything else is a bug and stays bare."""

from __future__ import annotations

from typing import Any, ClassVar


class DomainError(Exception):
    """A refusal with a stable code for machines and a sentence for people.

    `context` holds what a machine needs to act (values that JSON can carry). Only the door that answers a
    request turns a family into a status or an exit code.
    """

    family: ClassVar[str] = "domain_error"

    def __init__(self, code: str, message: str, **context: Any) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.context: dict[str, Any] = context

    def __str__(self) -> str:
        return self.message


class NotFound(DomainError):
    """What was named does not exist, or not for this owner."""

    family = "not_found"


class Invalid(DomainError):
    """What was given cannot be accepted as it is."""

    family = "invalid"


class Denied(DomainError):
    """The actor may not do this."""

    family = "denied"


class Conflict(DomainError):
    """The present state forbids the act; another state might not."""

    family = "conflict"


class QuotaExceeded(DomainError):
    """The act would grow past a maximum of its owner."""

    family = "quota_exceeded"


class LockTimeout(DomainError):
    """Somebody else kept what the act needs for longer than it may wait; asking again later may succeed."""

    family = "lock_timeout"
