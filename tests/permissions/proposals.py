"""The proposal of a scene: who acts has written it where they are one who did, else another admin has."""

from __future__ import annotations

from registry.models_proposals import Proposal
from registry.services.proposal_apply import proposal_apply
from registry.services.proposals import proposal_submit
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.factories import make_definition, make_version
from tests.permissions.scene import Scene
from tests.permissions.table import AUTHORS
from tests.proposals.making import approve, make_admin, make_draft, make_trial, overdue


def proposal_of(scene: Scene) -> Proposal:
    """The newest one, as it is by now."""
    return Proposal.objects.latest("pk")


def newest_proposal() -> str:
    """Its number, 0 where there is none."""
    return str(Proposal.objects.values_list("pk", flat=True).order_by("-pk").first() or 0)


def newest_content() -> str:
    """What it says, as a command takes it; nothing where there is none."""
    return Proposal.objects.values_list("content_hash", flat=True).order_by("-pk").first() or ""


def written(scene: Scene) -> Proposal:
    """There is a draft."""
    return make_draft(author=_author(scene))


def in_review(scene: Scene) -> Proposal:
    """There is one in review, which was tried."""
    author = _author(scene)
    proposal = make_draft(author=author)
    make_trial(proposal=proposal)
    return proposal_submit(proposal_id=proposal.pk, actor=Actor.login(author))


def approved(scene: Scene) -> Proposal:
    """There is one that somebody approved who never comes to any door."""
    return approve(in_review(scene), make_admin())


def applied(scene: Scene) -> Proposal:
    """There is one in force."""
    return proposal_apply(proposal_id=approved(scene).pk, actor=Actor.login(make_admin()))


def stale(scene: Scene) -> Proposal:
    """There is one whose base is not in force any more."""
    proposal = written(scene)
    make_version(document=make_definition(k="string", colour="string", other="string"))
    return proposal


def expiring(scene: Scene) -> Proposal:
    """There is one in review whose time has passed."""
    proposal = in_review(scene)
    overdue(proposal)
    return proposal


def _author(scene: Scene) -> User:
    return scene.login if scene.role in AUTHORS else make_admin()
