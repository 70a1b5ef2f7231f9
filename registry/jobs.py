"""Background work of this floor."""

from django.conf import settings
from django.core.mail import send_mail

from registry.domain.targets import of_target
from registry.models import QuotaLimit, QuotaNotice
from registry.selectors_quotas import LimitUse
from registry.services.activation import SETTLE
from registry.services.quotas import EXPIRE, MAIL, notices_mailed, notices_to_mail, quota_grants_expire
from registry.services.settling import extensions_settle
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.jobs import Lease, job_kind
from schemaevo.kernel.models import JobQueue

#: Notices that one mail tells of.
NOTICES_PER_MAIL = 100


def settle_run(lease: Lease) -> JsonObject:
    """Every user of the target has adopted the global schema, and absorbed fields are gone.

    The cursor is the user up to whom all is settled, and what came of it so far: a job that rests, or whose worker
    dies, reports the whole pass nevertheless. An activation during the pass asks for another one.
    """
    actor = Actor.system(SETTLE)
    user: int | None
    user, adopted, absorbed = _reached(lease.cursor)
    entity_type, only_user = of_target(lease.target)
    while user is not None:
        with lease.batch() as batch:
            settled = extensions_settle(
                entity_type=entity_type, after_user=user, only_user=only_user, actor=actor
            )
            batch.done(settled.adopted + settled.absorbed)
            adopted += settled.adopted
            absorbed += settled.absorbed
            user = settled.up_to_user
            batch.cursor = None if user is None else [user, adopted, absorbed]
    return {"adopted": adopted, "absorbed": absorbed}


def _reached(cursor: Json) -> tuple[int, int, int]:
    """The user, and how much was adopted and absorbed up to there; from the beginning where a pass has no cursor."""
    match cursor:
        case [int(user), int(adopted), int(absorbed)]:
            return user, adopted, absorbed
        case _:
            return 0, 0, 0


def expire_run(lease: Lease) -> JsonObject:
    """No grant holds whose time has passed."""
    actor = Actor.system(EXPIRE)
    ended = None
    while ended != 0:
        with lease.batch() as batch:
            ended = quota_grants_expire(actor=actor)
            batch.done(ended)
    return {"ended": lease.done_count}


def mail_run(lease: Lease) -> JsonObject:
    """Whoever is to be told has a mail about every notice that holds.

    A mail goes out before the row says so, and outside of any transaction: a worker that dies in between sends it
    again, and none is lost.
    """
    recipients = settings.SCHEMAEVO_QUOTA_MAIL_TO
    while recipients and (notices := notices_to_mail(NOTICES_PER_MAIL)):
        lease.renew()
        send_mail(_subject(notices), _lines(notices), None, recipients)
        with lease.batch() as batch:
            notices_mailed(notices)
            batch.done(len(notices))
    return {"mailed": lease.done_count}


def _subject(notices: list[QuotaNotice]) -> str:
    owners = {notice.user_id for notice in notices}
    return (
        f"[schemaevo] {'one owner comes' if len(owners) == 1 else f'{len(owners)} owners come'} up to a quota"
    )


def _lines(notices: list[QuotaNotice]) -> str:
    said = [
        f"{notice.user} used {LimitUse(QuotaLimit(notice.limit), notice.usage, notice.maximum).in_words}"
        f" on {notice.crossed_at:%Y-%m-%d at %H:%M} UTC."
        for notice in notices
    ]
    return "\n".join([*said, "", "show_quota OWNER tells what it is used for, request_quota asks for more."])


def register() -> None:
    """The kinds of this floor are known to the ledger."""
    every_s = settings.SCHEMAEVO_QUOTA_INTERVAL_S
    job_kind(EXPIRE, queue=JobQueue.LIFECYCLE, run=expire_run, every_s=every_s)
    job_kind(MAIL, queue=JobQueue.INTERACTIVE, run=mail_run, every_s=every_s)
    job_kind(SETTLE, queue=JobQueue.RECOMPUTE, run=settle_run)
