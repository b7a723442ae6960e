"""What one replica tells the others of a provider's model: how long ago there was trouble, and when it was well.

Replicas' clocks don't agree, so nothing here is a moment: seconds count from when it is told.
"""

import msgspec


class Hint(msgspec.Struct, frozen=True, array_like=True):
    """`key` is a Candidate's. None: never, as far as is known."""

    key: str
    troubled_s: float | None = None  # since a fault of the provider
    cooling_s: float = 0.0  # what is left of its Retry-After
    well_s: float | None = None  # since an attempt began that came to a good end, and so ended trouble before it

    def aged(self, seconds: float) -> "Hint":
        """The same, so much later."""
        return Hint(
            self.key,
            None if self.troubled_s is None else self.troubled_s + seconds,
            max(0.0, self.cooling_s - seconds),
            None if self.well_s is None else self.well_s + seconds,
        )
