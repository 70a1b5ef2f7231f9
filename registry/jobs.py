"""Background work of this floor."""

from collections.abc import Callable
from smtplib import SMTPRecipientsRefused

from django.conf import settings
from django.core.mail import send_mail

from registry.domain.targets import of_target
from registry.models import QuotaLimit, QuotaNotice
from registry.proposal_mails import mail_lines, mail_subject
from registry.selectors_quotas import LimitUse
from registry.services import proposal_notices
from registry.services.activation import SETTLE
from registry.services.conflict_count import COUNT_CONFLICTS, conflicts_run
from registry.services.proposal_effects import newest_effect, settled_note
from registry.services.proposal_upkeep import EXPIRE as EXPIRE_PROPOSALS
from registry.services.proposal_upkeep import proposals_expire
from registry.services.quotas import EXPIRE, MAIL, notices_mailed, notices_to_mail, quota_grants_expire
from registry.services.restoring import RESTORE, extensions_restore, restorations_end, undone_proposal
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
    entity_type, only_user = of_target(lease.target)
    user: int | None
    begun = _reached(lease.cursor) or (0, 0, 0, newest_effect(entity_type=entity_type))
    user, adopted, absorbed, effect = begun
    while user is not None:
        with lease.batch() as batch:
            settled = extensions_settle(
                entity_type=entity_type, after_user=user, only_user=only_user, actor=actor
            )
            batch.done(settled.adopted + settled.absorbed)
            adopted += settled.adopted
            absorbed += settled.absorbed
            user = settled.up_to_user
            batch.cursor = None if user is None else [user, adopted, absorbed, effect]
            if user is None and only_user is None:
                settled_note(entity_type=entity_type, up_to=effect)
    return {"adopted": adopted, "absorbed": absorbed}


def _reached(cursor: Json) -> tuple[int, int, int, int] | None:
    """The user, how much was adopted and absorbed up to there, and the newest effect of a proposal when the pass began;
    None where a pass has no cursor, or one of another release."""
    match cursor:
        case [int(user), int(adopted), int(absorbed), int(effect)]:
            return user, adopted, absorbed, effect
        case _:
            return None


def restore_run(lease: Lease) -> JsonObject:
    """Every owner of the target has back what undone proposals took; then the floors above are told.

    The cursor is the proposal, the user up to whom all have theirs, and how many owners that were.
    """
    actor = Actor.system(RESTORE)
    entity_type, _ = of_target(lease.target)
    at, after, owners = _given_back(lease.cursor)
    while (proposal_id := undone_proposal(entity_type)) is not None:
        after = after if proposal_id == at else 0
        with lease.batch() as batch:
            restored = extensions_restore(proposal_id=proposal_id, after_user=after, actor=actor)
            batch.done(restored.owners)
            owners += restored.owners
            at, after = proposal_id, restored.up_to_user or 0
            batch.cursor = [at, after, owners]
    with lease.batch() as batch:
        restorations_end(entity_type=entity_type)
        batch.cursor = None
    return {"owners": owners}


def _given_back(cursor: Json) -> tuple[int, int, int]:
    """The proposal, the user and the number of owners; from the beginning where a pass has no cursor."""
    match cursor:
        case [int(proposal_id), int(user), int(owners)]:
            return proposal_id, user, owners
        case _:
            return 0, 0, 0


def expire_run(lease: Lease) -> JsonObject:
    """No grant holds whose time has passed."""
    _expire(lease, quota_grants_expire, Actor.system(EXPIRE))
    return {"ended": lease.done_count}


def expire_proposals_run(lease: Lease) -> JsonObject:
    """No proposal waits for a decision whose time has passed."""
    _expire(lease, proposals_expire, Actor.system(EXPIRE_PROPOSALS))
    return {"expired": lease.done_count}


def _expire(lease: Lease, expire: Callable[..., int], actor: Actor) -> None:
    """Batch after batch ends, until one finds nothing whose time has passed."""
    ended = None
    while ended != 0:
        with lease.batch() as batch:
            ended = expire(actor=actor)
            batch.done(ended)


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


def mail_proposals_run(lease: Lease) -> JsonObject:
    """Every login has a mail about all that it is to be told of proposals.

    Mails go out as in `mail_run`. An address that the server does not take keeps nobody else from theirs: the pass goes
    on, and fails at its end, so that it is tried again and the job says why.
    """
    passed_over, refused = 0, None
    while notices := proposal_notices.notices_next(after_login=passed_over, limit=NOTICES_PER_MAIL):
        lease.renew()
        login = notices[0].login
        try:
            send_mail(mail_subject(notices), mail_lines(notices), None, [login.email])
        except SMTPRecipientsRefused as error:
            passed_over, refused = login.pk, error
            continue
        with lease.batch() as batch:
            proposal_notices.notices_mailed(notices)
            batch.done(len(notices))
    if refused is not None:
        raise refused
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
    job_kind(
        EXPIRE_PROPOSALS,
        queue=JobQueue.LIFECYCLE,
        run=expire_proposals_run,
        every_s=settings.SCHEMAEVO_PROPOSAL_INTERVAL_S,
    )
    job_kind(
        proposal_notices.MAIL,
        queue=JobQueue.INTERACTIVE,
        run=mail_proposals_run,
        every_s=settings.SCHEMAEVO_PROPOSAL_INTERVAL_S,
    )
    job_kind(
        COUNT_CONFLICTS,
        queue=JobQueue.LIFECYCLE,
        run=conflicts_run,
        every_s=settings.SCHEMAEVO_CONFLICTS_INTERVAL_S,
    )
    job_kind(SETTLE, queue=JobQueue.RECOMPUTE, run=settle_run)
    job_kind(RESTORE, queue=JobQueue.RECOMPUTE, run=restore_run)
