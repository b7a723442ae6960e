-- Frozen: books keep this file's digest, so that a change to the tables is a new migration beside it.

-- The books. Amounts are nano-USD, times Unix milliseconds, all 64-bit integers. No row of transfers ever changes.

CREATE TABLE accounts (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    debits_pending INTEGER NOT NULL CHECK (debits_pending >= 0),
    debits_posted INTEGER NOT NULL CHECK (debits_posted >= 0),
    credits_pending INTEGER NOT NULL CHECK (credits_pending >= 0),
    credits_posted INTEGER NOT NULL CHECK (credits_posted >= 0),
    last_seq INTEGER NOT NULL  -- its newest transfer: where a statement begins
);

-- An index on (account, seq) would cost a page of the log for every row of every busy account. Instead each transfer
-- names the account's one before it, and a statement walks back from accounts.last_seq.
CREATE TABLE transfers (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,  -- credit, hold, post, void, expire, reverse, pay
    at_ms INTEGER NOT NULL,
    account INTEGER NOT NULL,  -- accounts.no
    previous INTEGER NOT NULL,  -- transfers.seq, 0 for the account's first
    amount INTEGER NOT NULL CHECK (amount >= 0),  -- credited, held, charged, given back, taken back, paid
    available INTEGER NOT NULL,  -- free balance of the account after it
    counterparty INTEGER,  -- accounts.no; credit, pay: the source; post: the provider; reverse: of what it reverses
    epoch INTEGER,  -- hold: epochs.no of the process that owns it
    bounds TEXT,  -- hold: what was asked for, a JSON array
    unlimited INTEGER,  -- hold; reverse: forced; pay: in advance
    model TEXT,  -- hold, post, void, expire, reverse
    held INTEGER,  -- post, void, expire: what the hold still reserved
    price INTEGER,  -- post: asked of the wallet; reverse: what the provider is owed no more
    cost INTEGER,  -- post: owed to the provider; reverse: the post's
    over_max INTEGER,  -- post: the most that may be charged over the hold
    late INTEGER,  -- post: the hold had expired
    ref TEXT,  -- credit, pay; reverse: why
    key TEXT  -- hold and its ends: accounts.id of what the caller's delegated key has spent
);

CREATE UNIQUE INDEX transfers_by_id ON transfers (id, kind);

-- The record of a call, as JSON, beside its post or void: same seq.
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY,
    response_id TEXT,
    record BLOB NOT NULL
);

-- Up to which seq records of calls were let go of. A single row.
CREATE TABLE pruned (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
);

INSERT INTO pruned (one, seq) VALUES (1, 0);

-- What became of a posted call's answer, once its end was handed over; seq is the post's.
CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY,
    delivery TEXT NOT NULL
);

-- Our own tokenizer's count of some posted calls; seq is the post's. What could be compared stands beside the provider's.
CREATE TABLE recounts (
    seq INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    vocabulary TEXT NOT NULL,
    own TEXT NOT NULL,  -- JSON
    prompt_reported INTEGER,
    prompt_own INTEGER,
    completion_reported INTEGER,
    completion_own INTEGER
);

-- What an account's posted calls came to on a UTC day (counted from 1970-01-01): tokens, and nano-USD charged. The day
-- comes first, so that what a batch adds to stands together, whichever accounts it is of.
CREATE TABLE usage (
    day INTEGER NOT NULL,
    account INTEGER NOT NULL,  -- accounts.no
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    calls INTEGER NOT NULL,
    prompt INTEGER NOT NULL,
    completion INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    charged INTEGER NOT NULL,
    PRIMARY KEY (day, account, model, provider)
) WITHOUT ROWID;

-- The same by a name that the call had: its `user`, its delegated key. Apart from the other, since there may be any number
-- of them.
CREATE TABLE usage_by_name (
    day INTEGER NOT NULL,
    account INTEGER NOT NULL,  -- accounts.no
    kind TEXT NOT NULL,  -- user, key
    name TEXT NOT NULL,
    calls INTEGER NOT NULL,
    prompt INTEGER NOT NULL,
    completion INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    charged INTEGER NOT NULL,
    PRIMARY KEY (day, account, kind, name)
) WITHOUT ROWID;

CREATE TABLE nonces (
    account TEXT NOT NULL,
    nonce TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    UNIQUE (account, nonce)
);

CREATE TABLE revocations (
    message_hash TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Which call claimed an Idempotency-Key last, and what it was answered, if it was a success (NULL: too large to be kept).
-- `place` is a hash of the account and the key. After a day a claim means nothing and is cleared away.
CREATE TABLE claims (
    no INTEGER PRIMARY KEY,
    place TEXT NOT NULL UNIQUE,
    id TEXT NOT NULL,  -- transfers.id
    request TEXT NOT NULL,  -- sha256 of the request's body, hex
    at_ms INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    answer BLOB
);

-- What an operator last said of a provider: out of service since then, or not (NULL).
CREATE TABLE providers (
    id TEXT PRIMARY KEY,
    disabled_ms INTEGER,
    why TEXT
) WITHOUT ROWID;

-- Delegated keys. A row never changes but for its end, and stays.
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,  -- accounts.id
    secret_hash TEXT NOT NULL UNIQUE,  -- sha256, hex: the secret itself is nowhere
    terms TEXT NOT NULL,  -- JSON
    ended_ms INTEGER
) WITHOUT ROWID;

CREATE INDEX keys_by_account ON keys (account, id);

-- What an operator last said of a wallet: frozen since then, by whom and why, or not (NULL).
CREATE TABLE frozen (
    account TEXT PRIMARY KEY,
    since_ms INTEGER,
    who TEXT,
    why TEXT
) WITHOUT ROWID;

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- One row for each time a process opened the books for writing.
CREATE TABLE epochs (
    no INTEGER PRIMARY KEY,
    opened_ms INTEGER NOT NULL
);

-- What has to be known before the rest is read; rewritten by every batch.
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    batch INTEGER NOT NULL,  -- the last batch that was committed
    next_seq INTEGER NOT NULL,
    next_account_no INTEGER NOT NULL,
    pending_from INTEGER NOT NULL,  -- no hold before this seq is without an end
    newest_ms INTEGER NOT NULL,  -- greatest time of any id
    forgotten_ms INTEGER NOT NULL  -- nonces that expired up to then may be gone
);

INSERT INTO state (one, batch, next_seq, next_account_no, pending_from, newest_ms, forgotten_ms)
VALUES (1, 0, 1, 1, 1, 0, 0);

-- Filled and emptied after a failed commit, to learn whether there is room again.
CREATE TABLE probes (filling BLOB NOT NULL);
