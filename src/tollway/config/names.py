"""Names that operators choose: providers, models, headers, features, chains, accounts. ValueErrors say what is right.

One spelling of each rule; must not know where the names are used.
"""

import re

from tollway.domain.parameters import KEPT
from tollway.wire import chains

# Names of models travel in requests; intake takes none that is longer.
MODEL_NAME_MAX = 256

_PROVIDER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_MODEL = re.compile(rf"[!-~]{{1,{MODEL_NAME_MAX}}}\Z")
_WORD = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}\Z")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,127}\Z")
_HEADER = re.compile(r"[a-z0-9-]{1,128}\Z")
_QUERY_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_QUERY_VALUE = re.compile(r"[!-~]{1,256}\Z")
_KEY_QUERY = re.compile(r"(?i).*(?:key|token|secret|password|signature|sig\Z)")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?\Z")  # RFC 9110 field-value, ASCII only

_KEY_HEADERS = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"})
# What the router and its connections write themselves, or never pass on.
_OWN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "sign-in-with-x",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def provider_id(text: str) -> str:
    if not _PROVIDER.match(text):
        raise ValueError('expected lower-case letters, digits, "-", "_" and ".", at most 64, such as "openai"')
    return text


def model_name(text: str) -> str:
    """A model's id, alias or upstream name."""
    if not _MODEL.match(text):
        raise ValueError(f'expected at most {MODEL_NAME_MAX} ASCII characters without spaces, such as "openai/gpt-4o"')
    return text


def feature_name(text: str) -> str:
    """A feature beyond tokens, or a kind of content part."""
    if not _WORD.match(text):
        raise ValueError('expected a name in lower case, such as "web_search" or "image_url"')
    return text


def droppable_name(text: str) -> str:
    """A capability, or a field of a request that can be left out of one."""
    if feature_name(text) in KEPT:
        raise ValueError("every provider has to take this field: an answer can't be asked for, or bounded, without it")
    return text


def variable_name(text: str) -> str:
    """The name of an environment variable. Capitals only, so that a key written here by mistake is told apart."""
    if not _VARIABLE.match(text):
        raise ValueError(
            "expected the name of an environment variable in capitals, such as OPENAI_API_KEY, never the key itself"
        )
    return text


def file_name(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError('expected the name of a file, such as "/run/secrets/openai"')
    return text


def header_name(text: str) -> str:
    """A header in lower case. Without "_", which many proxies drop headers for (and variable names need)."""
    name = text.lower()
    if not _HEADER.match(name):
        raise ValueError('expected a header name of letters, digits and "-", such as "x-organisation"')
    if name in _KEY_HEADERS:
        raise ValueError("a key must not stand in the configuration: use api_key_env or api_key_file")
    if name in _OWN_HEADERS:
        raise ValueError("the router writes this header itself: leave it out")
    return name


def auth_header(text: str) -> str:
    """The header that carries a provider's key, in lower case."""
    name = text.lower()
    if not _HEADER.match(name) or name == "cookie":
        raise ValueError('expected the name of a header of letters, digits and "-", such as "api-key", never the key')
    if name in _OWN_HEADERS:
        raise ValueError("the router writes this header itself: it can't carry the key")
    return name


def query_name(text: str) -> str:
    if not _QUERY_NAME.match(text):
        raise ValueError('expected letters, digits, "-", "_" and ".", at most 64, such as "api-version"')
    if _KEY_QUERY.match(text):
        raise ValueError("a key must not stand in the configuration: use api_key_env, and auth_header for its header")
    return text


def query_value(text: str) -> str:
    if not _QUERY_VALUE.match(text):
        raise ValueError("expected at most 256 ASCII characters without spaces, as they are meant, not encoded")
    return text


def header_value(text: str) -> str:
    if not _HEADER_VALUE.match(text):
        raise ValueError("expected printable ASCII without spaces around it, as a header carries it")
    return text


def chain(text: str) -> str:
    """A CAIP-2 chain id, or `eip155:*` or `solana:*` for every chain of a kind."""
    try:
        namespace = chains.namespace_of(text)
        if text in (namespace, f"{namespace}:*"):
            return f"{namespace}:*"
        return chains.parse_chain(text, namespace)
    except ValueError as error:
        raise ValueError(f'{error}; expected a CAIP-2 id such as "eip155:8453", or "eip155:*"') from None


def account(text: str) -> str:
    """The stored id of an account."""
    try:
        return chains.parse_account(text)
    except ValueError as error:
        raise ValueError(
            f'{error}; expected an account such as "eip155:8453:0x..." or "solana:<network>:..."'
        ) from None


def account_or_all(text: str) -> str:
    return text if text == "*" else account(text)
