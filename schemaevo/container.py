"""What a container of the image runs: web (the default), worker, scheduler, or any command of manage.py."""

import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from schemaevo import programs

DEFAULT_PORT = 8000


def command(arguments: list[str]) -> list[str]:
    """What Python is to be started with; reads the settings, so that a missing one stops the start at once.

    Raises: ImproperlyConfigured, naming the setting.
    """
    name, *options = arguments or ["web"]
    bind = f"{settings.SCHEMAEVO_BIND}:{settings.SCHEMAEVO_PORT or DEFAULT_PORT}"
    match name:
        case "web":
            return [*programs.web(bind), *options]
        case "worker":
            return [*programs.worker(), *options]
        case "scheduler":
            return [*programs.scheduler(), *options]
        case "migrate":
            # Nobody is there to answer a question.
            return ["manage.py", "migrate", "--no-input", *options]
    return ["manage.py", name, *options]


def main() -> None:
    """This process becomes the program that was asked for, so that signals reach it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "schemaevo.settings")
    try:
        wanted = command(sys.argv[1:])
    except ImproperlyConfigured as error:
        sys.exit(f"The settings are not complete: {error}")
    os.execv(sys.executable, [sys.executable, *wanted])  # noqa: S606 - no shell


if __name__ == "__main__":
    main()
