from pathlib import Path

from phalanx.testing.lit import configure

configure(config, __file__, name="reciprocal", path=[Path(__file__).resolve().parent.parent / "src"])  # noqa: F821
