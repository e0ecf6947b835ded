"""What users see of an error: the line of theirs that led to it, and no frames of ours."""

from __future__ import annotations

from phalanx.compiler import config
from phalanx.compiler.pipeline.diagnostics import users_frames
from phalanx.compiler.trace.locations import user_location_text
from phalanx.dialects.errors import PhalanxError


def for_user(error: PhalanxError) -> PhalanxError:
    """`error` as public functions let it out.

    >>> try:
    ...     work()
    ... except PhalanxError as error:
    ...     raise for_user(error) from error.__cause__

    What is left of ours in the traceback is the frame of that function; PHALANX_FULL_TRACEBACK=1 keeps all.
    """
    if error.location is None:
        error.location = user_location_text()
    if not config.get("full_traceback"):
        trace = error.__traceback__
        kept = users_frames(trace)
        error.__traceback__ = None if kept is trace else kept  # the same object: there is none of the user's
    return error
