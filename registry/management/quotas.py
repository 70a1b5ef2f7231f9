"""What the commands of quotas share: who acts, until when, and how a quota is told."""

from datetime import UTC, datetime

from django.core.management.base import CommandError, CommandParser

from registry.models import QuotaRequest
from registry.selectors_quotas import LimitUse, Quota
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import user_by_name


def add_login(parser: CommandParser) -> None:
    """Adds what a command takes whose act is a login's: whoever asks must not decide, so somebody has to be named."""
    parser.add_argument(
        "--as", dest="login", required=True, metavar="LOGIN", help="who acts, with that login's permissions"
    )


def add_maxima(parser: CommandParser, what: str) -> None:
    """Adds the two maxima."""
    parser.add_argument("--max-schemas", type=int, metavar="N", help=f"schemas {what}")
    parser.add_argument("--max-fields", type=int, metavar="N", help=f"fields {what}")


def login_named(name: str) -> Actor:
    """The login of that name. Raises: NotFound."""
    return Actor.login(user_by_name(name))


def moment_named(text: str | None) -> datetime | None:
    """The time that a text says; a date is its beginning, and what names no zone is in UTC. Raises: CommandError."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{text!r} is no date or time, such as 2027-01-31.", returncode=EXIT_USAGE
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def use_json(use: LimitUse) -> JsonObject:
    """A limit as results hold it."""
    return {"usage": use.usage, "maximum": use.maximum, "percent": use.percent}


def told(command: ServiceCommand, warning: str) -> JsonObject:
    """A warning about the owner's quota is said, and is part of the result; where there is none, neither."""
    if not warning:
        return {}
    command.say(warning)
    return {"warning": warning}


def quota_json(quota: Quota) -> JsonObject:
    """A quota as results hold it."""
    return {
        "schemas": use_json(quota.schemas),
        "fields": use_json(quota.fields),
        "warning": quota.warning,
    }


def request_json(request: QuotaRequest, owner: User) -> JsonObject:
    """An upgrade request as results hold it."""
    return {
        "request": request.pk,
        "user": owner.username,
        "state": request.state,
        "asked": {"max_schemas": request.asked_max_schemas, "max_fields": request.asked_max_fields},
        "granted": {
            "max_schemas": request.granted_max_schemas,
            "max_fields": request.granted_max_fields,
            "until": request.granted_until.isoformat() if request.granted_until else None,
        },
        "reason": request.reason,
        "note": request.decision_note,
    }


def request_in_words(request: QuotaRequest, owner: User) -> str:
    """One line about a request, for people."""
    asked = [
        f"{number} {limit}"
        for number, limit in ((request.asked_max_schemas, "schemas"), (request.asked_max_fields, "fields"))
        if number is not None
    ]
    return f"Upgrade request {request.pk} for {owner} ({' and '.join(asked)}): {request.state}."
