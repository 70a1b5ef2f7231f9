"""The project's settings for worker processes that tests start: with the job kinds of the workload."""

from schemaevo.settings import *  # noqa: F403
from schemaevo.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.kernel.workload"]
