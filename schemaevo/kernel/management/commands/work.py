"""`manage.py work`: runs jobs until it is stopped."""

from typing import Any

import django_rq
from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from schemaevo.kernel.models import JobQueue
from schemaevo.kernel.worker import QuickRecoveryWorker


class Command(BaseCommand):
    help = "Runs the jobs of the given queues, the first queue first. Stops at SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--queues",
            nargs="+",
            choices=JobQueue.values,
            default=JobQueue.values,
            metavar="QUEUE",
            help=f"of {', '.join(JobQueue.values)}; all of them by default",
        )
        parser.add_argument("--burst", action="store_true", help="end when the queues are empty")

    def handle(self, *args: Any, **options: Any) -> None:
        queues = [django_rq.get_queue(name) for name in options["queues"]]
        try:
            worker = QuickRecoveryWorker(
                queues, connection=queues[0].connection, serializer=queues[0].serializer
            )
            worker.work(burst=options["burst"], logging_level=None)
        except RedisError as error:
            raise CommandError(f"Redis cannot be reached: {error}") from error
