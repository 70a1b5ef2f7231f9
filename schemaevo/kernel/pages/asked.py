"""What several parts of one page ask, each by itself: the answer of the first is that of all."""

from collections.abc import Callable
from typing import TypeVar, cast

from django.http import HttpRequest

from schemaevo.kernel.models import Pause
from schemaevo.kernel.pause import pause_now

T = TypeVar("T")
_ANSWERS = "_answered_once"


def asked_once(request: HttpRequest, question: object, ask: Callable[[], T]) -> T:
    """The answer to the question, asked once while the request is answered. For what the request itself leaves as it
    is; `question` tells it apart from all others."""
    answers: dict[object, object] = request.__dict__.setdefault(_ANSWERS, {})
    if question not in answers:
        answers[question] = ask()
    return cast(T, answers[question])


def pause_seen(request: HttpRequest) -> Pause | None:
    """The pause that holds, or None, as the whole page tells it."""
    return asked_once(request, Pause, pause_now)
