"""What a request may be at most. One place for every number that intake checks; it knows nothing of where they are
configured."""

import msgspec

MODEL_ID_MAX = 256  # characters: the longest names in use have about 80
KIND_MAX = 64  # characters of a caller-chosen word that ends up in explanations: part types, tool types, tiers
COUNT_MAX = 2**53 - 1  # the largest integer that every JSON reader keeps exact (RFC 8259, 6)
USER_MAX = 1_024  # characters: `user` is kept with the call's record for good
REQUEST_ID_MAX = 256  # characters of the caller's own x-request-id that are kept
FIELDS_MAX = 256  # top-level fields: all that any provider documents are under 100
FIELD_NAME_MAX = 256  # characters of a name that may be another spelling of one that is read
FEATURES_MAX = 32  # things beyond tokens that one call asks for: each is named in explanations
PROVIDERS_MAX = 64  # names in each list of `provider`
BYTES_PER_S_MIN = 32 * 1024  # what has come of a body buys time for the rest: slow lines may send, drips may not
SMALL_FIELD_BYTES_MAX = 65_536  # of a field that is read whole (not messages, tools ...): no list of millions of words


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on the structure of one request. The size of the body itself is `read_body`'s `max_bytes`."""

    max_messages: int = 4_096
    max_depth: int = 128  # levels of arrays and objects; real JSON schemas stay under 40
    max_nodes: int = 200_000  # arrays, objects and members: what decoding them may cost in memory and time
    max_models: int = 8  # entries of `models`
    max_stop: int = 4  # OpenAI's own
    max_n: int = 128  # OpenAI's own
