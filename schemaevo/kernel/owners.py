"""Owners of records: found by what people call them, and made when data of a new one arrives."""

from collections.abc import Collection, Mapping

from django.contrib.auth.hashers import make_password
from django.db.models import Q

from schemaevo.kernel.canonical import is_storable_text
from schemaevo.kernel.errors import Invalid, NotFound
from schemaevo.kernel.models import User

USERNAME_MAX = 150


def user_by_name(name: str) -> User:
    """The user of that id, e-mail or username; a username wins over an e-mail, an e-mail over an id.

    Raises: NotFound `user_not_found`; Invalid `user_ambiguous` for an e-mail that several share.
    """
    if not is_storable_text(name):
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
    if name.isascii() and name.isdigit() and len(name) < 19:
        by_id = User.objects.filter(pk=int(name)).first()
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
