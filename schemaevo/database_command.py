"""What `backup` and `restore` share: trouble with the servers is a sentence, not a traceback."""

from abc import abstractmethod
from typing import Any

import psycopg
from django.core.management.base import CommandError
from django.db import OperationalError

from schemaevo import embedded
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_FAILED, ServiceCommand


class DatabaseCommand(ServiceCommand):
    """A command on the database as a whole. Subclasses write `work`."""

    @abstractmethod
    def work(self, **options: Any) -> JsonObject:
        """Does the work, says it through `say`, and returns the result."""

    def run(self, **options: Any) -> JsonObject:
        try:
            return self.work(**options)
        except embedded.ServersFailed as error:
            raise CommandError(str(error), returncode=EXIT_FAILED) from error
        except (OperationalError, psycopg.OperationalError) as error:
            raise CommandError(f"the database: {error}", returncode=EXIT_FAILED) from error
