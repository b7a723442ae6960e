"""What planning read of a call, kept with its record so that the decision can be made again: of its prompt the size."""

import msgspec

from tollway.domain.call import NO_PREFERENCES, Call, Preferences, PromptSize

# Kept for every call for good, so that none costs much: more are in no request that anybody means.
FIELD_NAME_MAX = 64  # characters: no longer name can be in a configuration's `supports`
PART_KINDS_MAX = 32


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    models: tuple[str, ...] = ()  # the fallbacks
    preferences: Preferences | None = None
    features: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()  # names of the request's fields
    text_bytes: int = 0
    messages: int = 0
    parts: dict[str, int] = {}

    @classmethod
    def of(cls, call: Call) -> "Asked":
        prompt, names = call.prompt, tuple(call.fields)
        return cls(
            models=call.fallbacks,
            preferences=None if call.preferences is NO_PREFERENCES else call.preferences,
            features=tuple(sorted(call.features)) if call.features else (),
            needs=tuple(sorted(call.needs)) if call.needs else (),
            fields=names if max(map(len, names), default=0) <= FIELD_NAME_MAX else _short(names),
            text_bytes=prompt.text_bytes,
            messages=prompt.messages,
            parts=dict(prompt.parts[:PART_KINDS_MAX]) if prompt.parts else {},
        )

    def call(self, model: str) -> Call:
        """A call that planning can't tell from the one that asked for `model`; there is nothing to send in it."""
        return Call(
            id="",
            model=model,
            fallbacks=self.models,
            preferences=self.preferences or NO_PREFERENCES,
            features=frozenset(self.features),
            needs=frozenset(self.needs),
            prompt=PromptSize(text_bytes=self.text_bytes, messages=self.messages, parts=tuple(self.parts.items())),
            fields=dict.fromkeys(self.fields, msgspec.Raw(b"null")),
            request_hash="",
        )


def _short(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple([name for name in names if len(name) <= FIELD_NAME_MAX])
