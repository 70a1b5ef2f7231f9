"""Who acts. Every service is told, and nobody acts as "nobody": a missing actor is a type error."""

import getpass
from dataclasses import dataclass

from schemaevo.kernel.errors import Denied
from schemaevo.kernel.models import User


@dataclass(frozen=True)
class Actor:
    """A login with its permissions, or a trusted door that has them all: the shell, a job, a migration."""

    name: str
    user: User | None
    is_trusted: bool

    @classmethod
    def login(cls, user: User) -> "Actor":
        """Someone who signed in; may do what their roles allow."""
        return cls(user.get_username(), user, is_trusted=False)

    @classmethod
    def shell(cls) -> "Actor":
        """Whoever runs a command on the server: they could as well write to the database."""
        try:
            account = getpass.getuser()
        except (KeyError, OSError):  # an account without a name, as containers have
            account = "unknown"
        return cls(f"shell:{account}", None, is_trusted=True)

    @classmethod
    def system(cls, part: str) -> "Actor":
        """A part of the system that acts by itself, such as a job."""
        return cls(f"system:{part}", None, is_trusted=True)

    def require(self, permission: str) -> None:
        """Raises: Denied `permission_denied` unless the actor has `permission` (``app.codename``)."""
        if self.is_trusted or (self.user is not None and self.user.has_perm(permission)):
            return
        raise Denied(
            "permission_denied", f"{self.name} needs the permission {permission}.", permission=permission
        )

    def require_superuser(self) -> None:
        """For what no role is ever given. Raises: Denied `permission_denied`."""
        if not (
            self.is_trusted or (self.user is not None and self.user.is_active and self.user.is_superuser)
        ):
            raise Denied("permission_denied", f"{self.name} is no superuser.")

    def require_login(self) -> User:
        """The login that acts, for what nobody does without one: anybody could be behind a door that has none, even who
        must not do this. Raises: Denied `login_needed`."""
        if self.user is None:
            raise Denied("login_needed", "This is done by a login; name it with --as.")
        return self.user
