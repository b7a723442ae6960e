"""Which chat API a provider speaks, and how its version of OpenAI's differs in ways that don't change what a request
means. Must not know who has which, nor how a request is written.
"""

from typing import Literal

DialectName = Literal["openai"]  # what translates to each: upstream/dialects/

Quirk = Literal[
    "max_completion_tokens",  # the output limit is sent under this name, whichever the caller used
    "max_tokens",  # and under this one
    "no_developer_role",  # a developer message is sent as a system message, which is what it was called before
    "no_stream_options",  # the field isn't sent; without usage in the stream the router counts for itself
    "one_choice",  # it gives one choice: a call for more goes to others
]
