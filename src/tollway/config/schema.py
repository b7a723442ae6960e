"""The whole configuration as one Struct: every key of tollway.toml, how it is read, and its default.

A field is annotated with the type of the finished value and with the reader that makes it from what was written. Must
not know where that came from.
"""

import ssl
from typing import Annotated, Literal, get_args

import msgspec

from tollway.config import names
from tollway.config.places import (
    Address,
    LedgerUrl,
    Network,
    address,
    address_or_none,
    domain,
    ledger_url,
    network,
    origin,
    url_text,
)
from tollway.config.presets import PRESETS
from tollway.config.prices import BUY, SELL
from tollway.config.rates import Rates
from tollway.config.read import INVALID, Items, Made, Named, Never, OneOf, Spot, Switch, Table, Text, Whole
from tollway.config.secret import Secret
from tollway.config.units import duration, percent, retention, share, size, usd, wait
from tollway.config.valkey import ValkeyUrl, valkey_url
from tollway.domain.limit import Rate
from tollway.domain.plan import Timeouts
from tollway.domain.price import PartialPrice, Price
from tollway.domain.proxies import NO_PROXIES, Proxies
from tollway.domain.quirks import DialectName, Quirk
from tollway.wire.json import DEPTH_MAX

TOKENS_MAX = 1_000_000_000  # far above any context window; keeps every bound within 64 bits
CALLS_MAX = 100_000  # one process can't have more sockets
CONNECTIONS_MAX = 1_000_000  # one process can't have more files
MESSAGES_MAX = 1_000_000
RECEIPT_KEYS_MAX = 1_000  # all that were not withdrawn are published: a rotation a week, for 19 years


_NO_UNIT = "; a bare number has no unit"
_DURATION = Text(duration, "5s", why=_NO_UNIT)
_WAIT = Text(wait, "5s", why=_NO_UNIT)
_SIZE = Text(size, "20MB", why=_NO_UNIT)
_USD = Text(usd, "5.00", why=" (USD), so that no rounding creeps in")
_MODEL_NAME = Text(names.model_name, "openai/gpt-4o")
_TOKENS = Whole(1, TOKENS_MAX)
_ALLOWANCE = Whole(0, TOKENS_MAX)
_REFUSED = Items(Text(names.droppable_name, "logprobs"))
_DEFAULT = Timeouts()


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds. Once loaded, `public_url` is never empty and `tls` is made of the files."""

    listen: Annotated[Address, Text(address, "127.0.0.1:8080")] = Address("127.0.0.1", 8080)
    public_url: Annotated[str, Text(url_text, "https://router.example.com")] = ""
    insecure: Annotated[bool, Switch()] = False  # plain http or a loopback name on a public address
    max_body: Annotated[int, _SIZE] = 20_000_000
    max_bodies: Annotated[int, _SIZE] = 1_000_000_000  # of all calls that are arriving or under way
    max_messages: Annotated[int, Whole(1, MESSAGES_MAX)] = 10_000
    max_depth: Annotated[int, Whole(1, DEPTH_MAX)] = 100
    max_header: Annotated[int, _SIZE] = 16 * 1024  # all headers of a request together
    max_answer: Annotated[int, _SIZE] = 64_000_000
    max_calls: Annotated[int, Whole(1, CALLS_MAX)] = 2_000  # at once
    max_connections: Annotated[int, Whole(1, CONNECTIONS_MAX)] = 10_000  # at once, idle ones included
    keep_alive_comment: Annotated[float, _WAIT] = 15.0
    slow_reader: Annotated[float, _WAIT] = 60.0
    slow_sender: Annotated[float, _WAIT] = 30.0
    drain: Annotated[float, _DURATION] = 30.0
    tls_cert: Annotated[str | None, Text(names.file_name, "/etc/tollway/fullchain.pem")] = None
    tls_key: Annotated[str | None, Text(names.file_name, "/etc/tollway/privkey.pem")] = None
    tls_key_password_env: Annotated[str | None, Text(names.variable_name, "TLS_KEY_PASSWORD", secret=True)] = None
    tls_key_password_file: Annotated[str | None, Text(names.file_name, "/run/secrets/tls-password")] = None
    tls: Annotated[
        ssl.SSLContext | None, Never("write the certificate's file into tls_cert, and its key's into tls_key")
    ] = None
    trusted_proxies: Annotated[
        tuple[Network, ...],
        Items(Text(network, "10.0.0.0/8"), expected='write an array of addresses or networks, such as ["10.0.0.0/8"]'),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        Items(Text(origin, "https://app.example.com"), expected='write an array of origins, or ["*"] for any page'),
    ] = ()


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts are stored ids. `domains` is never empty once loaded."""

    domains: Annotated[
        tuple[str, ...],
        Items(Text(domain, "router.example.com"), least=1, expected='write an array such as ["router.example.com"]'),
    ] = ()
    chains: Annotated[
        tuple[str, ...],
        Items(Text(names.chain, "eip155:*"), least=1, expected='write an array such as ["eip155:*"]'),
    ] = ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "eip155:*")
    accounts: Annotated[
        tuple[str, ...],
        Items(Text(names.account_or_all, "*"), least=1, expected='write an array of accounts, or ["*"] for everybody'),
    ] = ("*",)
    deny: Annotated[
        tuple[str, ...], Items(Text(names.account, "eip155:8453:0x..."), expected="write an array of accounts")
    ] = ()
    max_lifetime: Annotated[float, _WAIT] = 3_600.0
    clock_skew: Annotated[float, _DURATION] = 60.0
    nonces: Annotated[Literal["optional", "required"], OneOf("optional", "required")] = "optional"


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """A relative path is relative to the configuration's folder; once loaded, the folder is part of it, and the
    password too."""

    url: Annotated[LedgerUrl, Text(ledger_url, "sqlite:///tollway.db")] = ledger_url("sqlite:///tollway.db")
    keep_calls: Annotated[float | None, Text(retention, "90d", why=_NO_UNIT)] = None
    keep_answers: Annotated[int, _SIZE] = 64_000_000  # bytes, of a wallet's calls of a day with an Idempotency-Key
    password_env: Annotated[str | None, Text(names.variable_name, "TOLLWAY_DB_PASSWORD", secret=True)] = None
    password_file: Annotated[str | None, Text(names.file_name, "/run/secrets/tollway-db")] = None
    password: Annotated[
        None,
        Never(
            "a password must not stand in the configuration: name the variable that holds it in password_env, "
            "or its file in password_file"
        ),
    ] = None


class Ops(msgspec.Struct, frozen=True, kw_only=True):
    listen: Annotated[Address | None, Text(address_or_none, "127.0.0.1:9464")] = None


class Billing(msgspec.Struct, frozen=True, kw_only=True):
    """Percentages in basis points, amounts in nano-USD. Once loaded, the configuration's folder is part of
    `price_book`."""

    mode: Annotated[Literal["prepaid", "metered"], OneOf("prepaid", "metered")] = "prepaid"
    markup: Annotated[int, Text(percent, "3%")] = 0
    welcome_credit_usd: Annotated[int, _USD] = 0
    welcome_credit_total_usd: Annotated[int, _USD] = 0  # the most that is ever given away
    price_book: Annotated[str | None, Text(names.file_name, "prices.json")] = None  # over the shipped one
    recount: Annotated[int, Text(share, "1%")] = 100  # of calls, by our own tokenizer; 0 turns it off
    recount_threshold: Annotated[int, Text(percent, "10%")] = 1_000  # how far a provider's count may be off ours


class Receipts(msgspec.Struct, frozen=True, kw_only=True):
    """Which key signs: a number that is raised by one to rotate. `withdrawn` ones are published no more, so that what
    they signed holds no more."""

    key: Annotated[int, Whole(1, RECEIPT_KEYS_MAX)] = 1
    withdrawn: Annotated[
        tuple[int, ...], Items(Whole(1, RECEIPT_KEYS_MAX), expected="write an array of key numbers, such as [1]")
    ] = ()


class ProviderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's share of one provider's quota: what of it this router may use."""

    requests: Annotated[tuple[Rate, ...], Rates()] = ()
    tokens: Annotated[tuple[Rate, ...], Rates()] = ()
    concurrency: Annotated[int | None, Whole(1, CALLS_MAX)] = None


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True):
    """One wallet's own; None is what every wallet has."""

    requests: Annotated[tuple[Rate, ...] | None, Rates()] = None
    tokens: Annotated[tuple[Rate, ...] | None, Rates()] = None
    concurrency: Annotated[int | None, Whole(1, CALLS_MAX)] = None


class AddressLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one network address, which has not said yet who it is."""

    arriving: Annotated[int, Whole(1, CALLS_MAX)] = 200  # chat requests whose body is still to come
    nonces: Annotated[tuple[Rate, ...], Rates()] = (Rate(600, 60),)
    failed_sign_ins: Annotated[tuple[Rate, ...], Rates()] = (Rate(120, 60),)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one wallet, but for `address`."""

    requests: Annotated[tuple[Rate, ...], Rates()] = ()
    tokens: Annotated[tuple[Rate, ...], Rates()] = ()
    concurrency: Annotated[int, Whole(1, CALLS_MAX)] = 256  # calls; an eighth of server.max_calls
    reads: Annotated[int, Whole(1, CALLS_MAX)] = 8  # of its statement, usage and calls, at once
    accounts: Annotated[dict[str, AccountLimits], Named(names.account, Table(AccountLimits))] = {}
    address: Annotated[AddressLimits, Table(AddressLimits)] = AddressLimits()


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """What replicas share, besides the books; without `url` each counts by itself. `password` is found once loaded."""

    url: Annotated[ValkeyUrl | None, Text(valkey_url, "redis://valkey.internal:6379")] = None
    password_env: Annotated[str | None, Text(names.variable_name, "VALKEY_PASSWORD", secret=True)] = None
    password_file: Annotated[str | None, Text(names.file_name, "/run/secrets/valkey")] = None
    password: Annotated[
        Secret | None,
        Never(
            "a password must not stand in the configuration: name the variable that holds it in password_env, "
            "or its file in password_file"
        ),
    ] = None
    limits_when_lost: Annotated[Literal["open", "closed"], OneOf("open", "closed")] = "open"


class TimeoutsTable(msgspec.Struct, frozen=True, kw_only=True):
    """How Timeouts are written."""

    connect: Annotated[float, _WAIT] = _DEFAULT.connect
    first_byte: Annotated[float, _WAIT] = _DEFAULT.first_byte
    idle: Annotated[float, _WAIT] = _DEFAULT.idle
    batch: Annotated[float, _WAIT] = _DEFAULT.batch
    total: Annotated[float, _WAIT] = _DEFAULT.total


def _timeouts(written: TimeoutsTable, at: Spot) -> Timeouts:
    return Timeouts(**msgspec.structs.asdict(written))


TIMEOUTS = Made(Table(TimeoutsTable), _timeouts)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one provider. Once loaded, `upstream` is filled in, `max_output_tokens` where `context_length` is
    written, and `timeouts` are complete: its own over its provider's."""

    id: Annotated[str, _MODEL_NAME]
    upstream: Annotated[str, _MODEL_NAME] = ""
    aliases: Annotated[tuple[str, ...], Items(_MODEL_NAME)] = ()
    price: Annotated[Price | PartialPrice | None, BUY] = None  # what isn't written is the price book's
    sell: Annotated[Price | None, SELL] = None
    context_length: Annotated[int, _TOKENS] = 0  # 0, here and below: the price book's
    max_output_tokens: Annotated[int, _TOKENS] = 0
    reasoning: Annotated[bool, Switch()] = False
    template_tokens: Annotated[int, _ALLOWANCE] = 256
    message_tokens: Annotated[int, _ALLOWANCE] = 16
    part_tokens: Annotated[dict[str, int], Named(names.feature_name, _ALLOWANCE)] = {}
    timeouts: Annotated[Timeouts, TIMEOUTS] = _DEFAULT
    supports: Annotated[tuple[str, ...], Items(Text(names.feature_name, "tools"))] = ()
    unsupported: Annotated[tuple[str, ...], _REFUSED] = ()


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """`id` and `base_url` are never empty once loaded. `base_url` has no slash at its end; `headers` have lower-case
    names; `api_key` is found once loaded."""

    preset: Annotated[str | None, OneOf(*PRESETS)] = None  # fills in what isn't written (config/presets.py)
    id: Annotated[str, Text(names.provider_id, "openai")] = ""
    base_url: Annotated[str, Text(url_text, "https://api.openai.com/v1")] = ""
    query: Annotated[dict[str, str], Named(names.query_name, Text(names.query_value, "2024-10-21"))] = {}
    api_key_env: Annotated[str | None, Text(names.variable_name, "OPENAI_API_KEY", secret=True)] = None
    api_key_file: Annotated[str | None, Text(names.file_name, "/run/secrets/openai")] = None
    api_key: Annotated[
        Secret | None,
        Never(
            "a key must not stand in the configuration: name the variable that holds it in api_key_env, "
            "or its file in api_key_file"
        ),
    ] = None
    auth_header: Annotated[str | None, Text(names.auth_header, "api-key")] = (
        None  # None: authorization, as a bearer token
    )
    headers: Annotated[dict[str, str], Named(names.header_name, Text(names.header_value, "a value", secret=True))] = {}
    dialect: Annotated[DialectName, OneOf(*get_args(DialectName))] = "openai"
    user: Annotated[Literal["hash", "forward", "omit"], OneOf("hash", "forward", "omit")] = "hash"
    quirks: Annotated[tuple[Quirk, ...], Items(OneOf(*get_args(Quirk)))] = ()
    unsupported: Annotated[tuple[str, ...], _REFUSED] = ()  # by every model that doesn't say otherwise
    price_book: Annotated[str | None, Text(names.provider_id, "openai")] = None  # which provider of the book it is
    data_collection: Annotated[Literal["allow", "deny"], OneOf("allow", "deny")] = "allow"  # deny: it keeps no prompts
    limits: Annotated[ProviderLimits, Table(ProviderLimits)] = ProviderLimits()
    timeouts: Annotated[Timeouts, TIMEOUTS] = _DEFAULT
    models: Annotated[
        tuple[Model, ...], Items(Table(Model), least=1, expected="write at least one [[providers.models]]")
    ]


def _placed(written: Provider, at: Spot) -> Provider:
    """A provider that says, itself or by its preset, what it is called and where it is."""
    sound = at.reading.sound
    missing = [key for key in ("id", "base_url") if not getattr(written, key)]
    if missing and sound(*at.path, "preset"):
        example = '"https://api.openai.com/v1"'
        if written.preset is not None:
            preset = PRESETS[written.preset]
            example = f'"{preset.base_url_example}": every customer of {preset.name} has one of their own'
        said = {
            "id": 'is missing: write one, such as "openai", or name a ready-made provider in preset',
            "base_url": f"is missing: write where it is, such as {example}",
        }
        if written.preset is None:
            said["base_url"] += f"; or name a ready-made provider in preset ({', '.join(PRESETS)})"
        for key in missing:
            if sound(*at.path, key):
                (at / key).missing(said[key])
    return INVALID if missing else written


PROVIDER = Made(Table(Provider), _placed)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    server: Annotated[Server, Table(Server)] = Server()
    auth: Annotated[Auth, Table(Auth)] = Auth()
    ledger: Annotated[Ledger, Table(Ledger)] = Ledger()
    ops: Annotated[Ops, Table(Ops)] = Ops()
    billing: Annotated[Billing, Table(Billing)] = Billing()
    receipts: Annotated[Receipts, Table(Receipts)] = Receipts()
    limits: Annotated[Limits, Table(Limits)] = Limits()
    cluster: Annotated[Cluster, Table(Cluster)] = Cluster()
    proxies: Annotated[
        Proxies, Never("proxies are read from the environment: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as elsewhere")
    ] = NO_PROXIES
    providers: Annotated[
        tuple[Provider, ...], Items(PROVIDER, least=1, expected="write at least one [[providers]]")
    ] = ()


CONFIG = Table(Config)
