"""Where the time of a compiled function goes: clusters at the user's lines, against the limits of the machine."""

from phalanx.compiler.profiling.limits import Limits, measure_limits
from phalanx.compiler.profiling.profile import profile
from phalanx.compiler.profiling.report import Profile

__all__ = ["Limits", "Profile", "measure_limits", "profile"]
