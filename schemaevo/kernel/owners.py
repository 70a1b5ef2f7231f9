"""Owners of records: found by what people call them, and made when data of a new one arrives."""

from collections.abc import Collection, Mapping

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.db.models import Q
from django.db.utils import OperationalError
from psycopg import errors as pg

from schemaevo.kernel.canonical import is_storable_text
from schemaevo.kernel.errors import Invalid, LockTimeout, NotFound
from schemaevo.kernel.models import User
from schemaevo.kernel.narrowing import number_or_none

USERNAME_MAX = 150
#: Ids of users up to this one are read exactly by every JSON reader, and behind it ids are left in plenty.
ID_MAX = 2**53 - 1


def user_by_name(name: str) -> User:
    """The user of that id, e-mail or username; a username wins over an e-mail, an e-mail over an id.

    Raises: NotFound `user_not_found`; Invalid `user_ambiguous` for an e-mail that several share.
    """
    # Nothing names nobody: the e-mail of most owners is empty.
    if not name or not is_storable_text(name):
        raise _not_found(name)
    username = owner_name(name)
    found = list(User.objects.filter(Q(username=username) | Q(email__iexact=name)).order_by("pk")[:3])
    exact = [user for user in found if user.username == username]
    if exact:
        return exact[0]
    if len(found) > 1:
        raise Invalid("user_ambiguous", f"Several users have the e-mail {name}; use the username.", name=name)
    if found:
        return found[0]
    if (number := number_or_none(name)) is not None:
        by_id = User.objects.filter(pk=number).first()
        if by_id is not None:
            return by_id
    raise _not_found(name)


def _not_found(name: str) -> NotFound:
    return NotFound("user_not_found", f"There is no user {name!r} (by username, e-mail or id).", name=name)


def owner_name(text: str) -> str:
    """The username that a text stands for: one form (NFKC) of those that look the same.

    The form that Django gives every name typed into a page: by any other, whoever edits an owner in the browser
    would rename it, and the owner's next record would find nobody.
    """
    return User.normalize_username(text)


def owner_name_problem(name: str) -> str | None:
    """Why `name` cannot be the username of an owner, or None."""
    if not name or name != name.strip():
        return "an owner's name must not be empty or begin or end with white space"
    if len(name) > USERNAME_MAX:
        return f"an owner's name has at most {USERNAME_MAX} characters"
    if not name.isprintable():
        return "an owner's name must be printable"
    return None


def owners_by_username(names: Collection[str]) -> Mapping[str, int]:
    """The ids of the users with these usernames; unknown names are left out."""
    return dict(User.objects.filter(username__in=list(names)).values_list("username", "pk"))


def owners_create(names: Collection[str]) -> Mapping[str, int]:
    """Every name is a user; gives the ids. New ones are owners: they cannot sign in.

    Safe to run side by side: of two that make the same owner, one finds the other's.
    """
    password = make_password(None)
    User.objects.bulk_create(
        [User(username=name, password=password) for name in sorted(names)], ignore_conflicts=True
    )
    return owners_by_username(names)


def owners_by_id(user_ids: Collection[int]) -> Mapping[int, str]:
    """The usernames of the users with these ids; unknown ids are left out."""
    return dict(User.objects.filter(pk__in=list(user_ids)).values_list("pk", "username"))


def owners_restore(ids: Mapping[str, int]) -> None:
    """Every name is an owner with the given id, unless name or id was taken by now; ids made later are others.

    Runs inside the caller's transaction, and until that ends nobody else makes or changes a user. It is the first
    thing there to be locked: who makes an owner has the table before any schema.
    Raises: LockTimeout `lock_timeout`.
    """
    _hold_users()
    password = make_password(None)
    User.objects.bulk_create(
        [User(pk=ids[name], username=name, password=password) for name in sorted(ids)], ignore_conflicts=True
    )
    with connection.cursor() as cursor:
        # One number is left out: the sequence tells no other way where it stands.
        cursor.execute(
            "SELECT setval(s.name, greatest(nextval(s.name), %s))"
            " FROM (SELECT pg_get_serial_sequence(%s, %s)::regclass AS name) AS s",
            [max(ids.values()), User._meta.db_table, "id"],
        )


def _hold_users() -> None:
    """Who inserts users has ended, and others wait.

    Without it, one who had drawn an id from the sequence before it was moved would meet that id taken, and would
    take that for a name that somebody else had made.
    """
    with connection.cursor() as cursor:
        timeout = settings.SCHEMAEVO_LOCK_TIMEOUT_S
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(timeout * 1000)}ms"])
        try:
            cursor.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
        except OperationalError as error:
            if isinstance(error.__cause__, pg.LockNotAvailable):
                raise LockTimeout(
                    "lock_timeout", f"Others were making users for more than {timeout} s; try again."
                ) from error
            raise
