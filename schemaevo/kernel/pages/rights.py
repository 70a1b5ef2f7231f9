"""What a request may see, and in whose name it acts."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User

#: Guards whatever stands in records, on every floor. A permission of the snapshots app.
SEE_VALUES = "snapshots.see_values"


def may_see_values(request: HttpRequest) -> bool:
    """Whether this login may see what stands in records."""
    return request.user.has_perm(SEE_VALUES)


def actor_of(request: HttpRequest) -> Actor:
    """The login of a request, as services want it."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return Actor.login(request.user)
