"""try_proposal ID --as LOGIN [--wait]"""

import time
from typing import Any

from django.core.management.base import CommandParser

from fragments.domain.trial import Trial
from registry.domain.trial_values import without_values
from registry.management.quotas import add_login, login_named
from registry.models import ProposalAct, ProposalTrial, TrialState
from registry.selectors_trials import trial_job
from registry.services.proposal_trials import trial_request
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_FAILED, ServiceCommand
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import LIVE_JOB_STATES
from schemaevo.kernel.pause import refuse_while_paused

LOOK_AGAIN_S = 1.0


class Command(ServiceCommand):
    help = (
        "Asks for a trial of a proposal: what applying it would do, or, once it is applied, undoing it, computed on "
        "what is stored. Nothing is changed. With --wait it is made here, if no worker is faster, and its numbers are "
        "told. Samples of values are on the proposal's page."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("proposal", metavar="ID", type=int, help="number of the proposal")
        parser.add_argument("--wait", action="store_true", help="until it has ended")
        add_login(parser)

    def run(self, **options: Any) -> JsonObject:
        trial = trial_request(proposal_id=options["proposal"], actor=login_named(options["login"]))
        if options["wait"]:
            trial = _ended(trial)
        result = Trial.from_json(trial.result)
        if result is not None:
            self._tell(trial, result)
        elif trial.state == TrialState.FAILED:
            self.say(f"Trial {trial.pk} of proposal {trial.proposal_id} has failed: {trial.error}.")
        else:
            self.say(f"Trial {trial.pk} of proposal {trial.proposal_id} is {trial.state}; a job makes it.")
        return {
            "proposal": trial.proposal_id,
            "trial": trial.pk,
            "act": trial.act,
            "state": trial.state,
            "error": trial.error,
            "result": without_values(trial.result),
        }

    def exit_code(self, result: JsonObject) -> int:
        return EXIT_FAILED if result["state"] == TrialState.FAILED else 0

    def _tell(self, trial: ProposalTrial, result: Trial) -> None:
        counts = result.counts
        act = "Undoing" if trial.act == ProposalAct.UNDO else "Applying"
        self.say(
            f"{act} proposal {trial.proposal_id} would concern {counts.users_changed} of {counts.users} users: "
            f"{counts.extensions_touched} extensions, {counts.snapshots_recomputed} snapshots."
        )
        for name, found in result.fields.items():
            said = [
                f"{count} {words}"
                for count, words in (
                    (found.absorbed, "absorbed"),
                    (found.conflicts, "in conflict"),
                    (found.given_back, "given back"),
                    (found.fits, "fragments fit"),
                    (found.converted, "are converted"),
                    (found.misfit, "do not fit"),
                    (found.taken_back, "wait again"),
                )
                if count
            ]
            self.say(f"  {name} ({result.changes[name].value}): {', '.join(said) or 'nothing stored of it'}.")
        self.say(f"It would take about {result.estimate.seconds} s.")


def _ended(trial: ProposalTrial) -> ProposalTrial:
    """The trial once it has ended, or nobody is at it any more. Raises: Conflict `paused`."""
    while True:
        job = trial_job(trial)
        if job is not None:
            run_job(str(job.pk))
        trial.refresh_from_db()
        if trial.state in (TrialState.DONE, TrialState.FAILED):
            return trial
        refuse_while_paused()
        job = trial_job(trial)
        if job is None or job.state not in LIVE_JOB_STATES:
            return trial
        time.sleep(LOOK_AGAIN_S)
