"""SQL files as reversible migrations, so that triggers stand in files of their own and not inside Python."""

from pathlib import Path
from typing import Any

from django.apps import apps
from django.db.migrations.operations.base import Operation, OperationCategory


class RunSQLFile(Operation):
    """Runs `<app>/sql/<name>.sql` forwards and `<app>/sql/<name>.down.sql` backwards.

    A file is frozen once it has landed: a change is a new file under a new name (`..._v2.sql`).
    The idea of SQL files as operations, each used exactly once, is that of procrastinate.
    """

    reduces_to_sql = True
    reversible = True
    category = OperationCategory.SQL

    def __init__(self, app_label: str, name: str) -> None:
        self.app_label = app_label
        self.name = name

    def path(self, suffix: str) -> Path:
        return Path(apps.get_app_config(self.app_label).path) / "sql" / f"{self.name}{suffix}"

    def state_forwards(self, app_label: str, state: Any) -> None:
        """SQL changes nothing of the models' state."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._run(schema_editor, ".sql")

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._run(schema_editor, ".down.sql")

    def _run(self, schema_editor: Any, suffix: str) -> None:
        # No parameters: a percent sign in the file stays one.
        schema_editor.execute(self.path(suffix).read_text(encoding="utf-8"), params=None)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return self.__class__.__qualname__, [self.app_label, self.name], {}

    def describe(self) -> str:
        return f"Runs {self.app_label}/sql/{self.name}.sql"
