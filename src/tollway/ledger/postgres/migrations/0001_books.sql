-- Frozen: books keep this file's digest, so that a change to the tables is a new migration beside it.

-- The books. Amounts are nano-USD, times Unix milliseconds unless they are timestamps, which are the database's own.
-- No row of transfers ever changes.

-- The router's own accounts are kept in shards, one for each process that books: each process moves its own rows, so
-- that none waits for another's. What an account has is the sum over its shards. All others have shard 0 alone.
-- Half of a page stays free, so that a new version of a row fits beside the old one and no index is touched.
CREATE TABLE accounts (
    no bigint PRIMARY KEY,
    id text NOT NULL,
    shard integer NOT NULL,
    debits_pending bigint NOT NULL CHECK (debits_pending >= 0),
    debits_posted bigint NOT NULL CHECK (debits_posted >= 0),
    credits_pending bigint NOT NULL CHECK (credits_pending >= 0),
    credits_posted bigint NOT NULL CHECK (credits_posted >= 0),
    last_seq bigint NOT NULL,  -- a wallet's newest transfer: where a statement begins
    UNIQUE (id, shard)
) WITH (fillfactor = 50);

-- Each transfer names its account's one before it, and a statement walks back from accounts.last_seq.
CREATE TABLE transfers (
    seq bigint PRIMARY KEY,
    id text NOT NULL,
    kind text NOT NULL,  -- credit, hold, post, void, expire, reverse, pay
    at_ms bigint NOT NULL,
    account bigint NOT NULL,  -- accounts.no
    previous bigint NOT NULL,  -- transfers.seq, 0 for the account's first
    amount bigint NOT NULL CHECK (amount >= 0),  -- credited, held, charged, given back, taken back, paid
    available bigint NOT NULL,  -- free balance of the account after it
    counterparty bigint,  -- accounts.no; credit, pay: the source; post: the provider; reverse: of what it reverses
    epoch integer,  -- hold: epochs.no of the process that owns it
    bounds text,  -- hold: what was asked for, a JSON array
    unlimited boolean,  -- hold; reverse: forced; pay: in advance
    model text,  -- hold, post, void, expire, reverse
    held bigint,  -- post, void, expire: what the hold still reserved
    price bigint,  -- post: asked of the wallet; reverse: what the provider is owed no more
    cost bigint,  -- post: owed to the provider; reverse: the post's
    over_max bigint,  -- post: the most that may be charged over the hold
    late boolean,  -- post: the hold had expired
    ref text,  -- credit, pay; reverse: why
    key text  -- hold and its ends: accounts.id of what the caller's delegated key has spent
);

-- An id is opened once, by a hold, a credit or a payment, whichever replica it came to, and has one of each further kind.
CREATE UNIQUE INDEX transfers_by_id ON transfers (id, (CASE WHEN kind IN ('credit', 'pay') THEN 'hold' ELSE kind END));

-- The record of a call, as JSON, beside its post or void: same seq.
CREATE TABLE calls (
    seq bigint PRIMARY KEY,
    response_id text,
    record text NOT NULL
);

-- Up to which seq records of calls were let go of. A single row.
CREATE TABLE pruned (
    one integer PRIMARY KEY CHECK (one = 1),
    seq bigint NOT NULL
);

INSERT INTO pruned (one, seq) VALUES (1, 0);

-- What became of a posted call's answer, once its end was handed over; seq is the post's.
CREATE TABLE deliveries (
    seq bigint PRIMARY KEY,
    delivery text NOT NULL
);

-- Our own tokenizer's count of some posted calls; seq is the post's. What could be compared stands beside the provider's.
CREATE TABLE recounts (
    seq bigint PRIMARY KEY,
    provider text NOT NULL,
    model text NOT NULL,
    vocabulary text NOT NULL,
    own text NOT NULL,  -- JSON
    prompt_reported bigint,
    prompt_own bigint,
    completion_reported bigint,
    completion_own bigint
);

-- What an account's posted calls came to on a UTC day (counted from 1970-01-01): tokens, and nano-USD charged.
CREATE TABLE usage (
    account bigint NOT NULL,  -- accounts.no
    day integer NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    calls bigint NOT NULL,
    prompt bigint NOT NULL,
    completion bigint NOT NULL,
    cached bigint NOT NULL,
    reasoning bigint NOT NULL,
    charged bigint NOT NULL,
    PRIMARY KEY (account, day, model, provider)
) WITH (fillfactor = 70);

-- The same by a name that the call had: its `user`, its delegated key. Apart from the other, since there may be any number
-- of them.
CREATE TABLE usage_by_name (
    account bigint NOT NULL,  -- accounts.no
    day integer NOT NULL,
    kind text NOT NULL,  -- user, key
    named text NOT NULL,
    calls bigint NOT NULL,
    prompt bigint NOT NULL,
    completion bigint NOT NULL,
    cached bigint NOT NULL,
    reasoning bigint NOT NULL,
    charged bigint NOT NULL,
    PRIMARY KEY (account, day, kind, named)
) WITH (fillfactor = 70);

CREATE TABLE nonces (
    account text NOT NULL,
    nonce text NOT NULL,
    expires_ms bigint NOT NULL,
    PRIMARY KEY (account, nonce)
);

CREATE INDEX nonces_by_expiry ON nonces (expires_ms);

CREATE TABLE revocations (
    message_hash text PRIMARY KEY,
    account text NOT NULL,
    expires_ms bigint NOT NULL
);

-- Which call claimed an Idempotency-Key last, and what it was answered, if it was a success (NULL: too large to be kept).
-- `place` is a hash of the account and the key. After a day a claim means nothing and is cleared away.
CREATE TABLE claims (
    place text PRIMARY KEY,
    id text NOT NULL,  -- transfers.id
    request text NOT NULL,  -- sha256 of the request's body, hex
    at_ms bigint NOT NULL,
    answered boolean NOT NULL,
    answer bytea
);

CREATE INDEX claims_by_age ON claims (at_ms);

-- What an operator last said of a provider: out of service since then, or not (NULL).
CREATE TABLE providers (
    id text PRIMARY KEY,
    disabled_ms bigint,
    why text
);

-- Delegated keys. A row never changes but for its end, and stays.
CREATE TABLE keys (
    id text COLLATE "C" PRIMARY KEY,
    account text NOT NULL,  -- accounts.id
    secret_hash text NOT NULL UNIQUE,  -- sha256, hex: the secret itself is nowhere
    terms text NOT NULL,  -- JSON
    ended_ms bigint
);

CREATE INDEX keys_by_account ON keys (account, id);

-- What an operator last said of a wallet: frozen since then, by whom and why, or not (NULL).
CREATE TABLE frozen (
    account text PRIMARY KEY,
    since_ms bigint,
    who text,
    why text
);

CREATE TABLE secrets (
    name text PRIMARY KEY,
    value bytea NOT NULL
);

-- One row for each time a process began to book: it owns the holds it makes as long as it renews its lease, which every
-- one of its commits does. Once ended, by itself or by another process after its lease, it books nothing more, and
-- whoever finds it expires what it held.
CREATE TABLE epochs (
    no integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    shard integer NOT NULL,
    opened_at timestamptz NOT NULL,
    alive_until timestamptz NOT NULL,
    pending_from bigint NOT NULL,  -- none of its holds before this seq is without an end
    ended_at timestamptz,
    cleared boolean NOT NULL DEFAULT false  -- it has ended, and none of its holds is pending
) WITH (fillfactor = 50);

CREATE INDEX epochs_not_cleared ON epochs (no) WHERE NOT cleared;

-- A single row.
CREATE TABLE state (
    one integer PRIMARY KEY CHECK (one = 1),
    forgotten_ms bigint NOT NULL  -- nonces that expired up to then may be gone
);

INSERT INTO state (one, forgotten_ms) VALUES (1, 0);

-- Every transaction takes a block of numbers, once it has its locks: for its transfers from the front, for new accounts
-- from the middle. So an account's transfers have ascending numbers, and there are gaps.
CREATE SEQUENCE numbers AS bigint INCREMENT BY 8192 START 1;
