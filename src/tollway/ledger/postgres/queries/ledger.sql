-- name: begin
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE

-- name: begin_read
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- name: prepare_session
-- A transaction is a few milliseconds. One that waits longer for a lock is given up, and one whose client fell silent is
-- ended by the server, so that its locks don't outlive it.
SELECT
    set_config('search_path', 'tollway', false),
    set_config('lock_timeout', %s, false),
    set_config('statement_timeout', %s, false),
    set_config('idle_in_transaction_session_timeout', %s, false),
    CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END

-- name: find_tables
SELECT set_config('search_path', 'tollway', true)

-- name: lock_migrations
-- Until the end of the transaction. The key is the word "tollway" in ASCII.
SELECT pg_advisory_xact_lock(32773608765350265)

-- name: let_migrate
-- To the end of the transaction: tables may be large, and another process may be at it.
SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)

-- name: create_schema
CREATE SCHEMA IF NOT EXISTS tollway

-- name: create_schema_version
CREATE TABLE IF NOT EXISTS tollway.schema_version (
    version integer PRIMARY KEY,
    applied_ms bigint NOT NULL,
    digest text NOT NULL
)

-- name: has_schema_version
SELECT to_regclass('tollway.schema_version') IS NOT NULL

-- name: schema_version
SELECT coalesce(max(version), 0) FROM tollway.schema_version

-- name: has_digests
SELECT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = to_regclass('tollway.schema_version') AND attname = 'digest' AND NOT attisdropped
)

-- name: applied
SELECT version, digest FROM tollway.schema_version ORDER BY version

-- name: insert_schema_version
INSERT INTO tollway.schema_version (version, applied_ms, digest) VALUES (%s, %s, %s)

-- name: sums
SELECT coalesce(sum(debits_pending - credits_pending), 0), coalesce(sum(debits_posted - credits_posted), 0) FROM accounts

-- name: begin_epoch
-- The lowest shard that no living process has.
INSERT INTO epochs (shard, opened_at, alive_until, pending_from)
SELECT
    (
        SELECT min(free.shard)
        FROM generate_series(1, (SELECT count(*) + 1 FROM epochs WHERE ended_at IS NULL)) AS free (shard)
        WHERE free.shard NOT IN (SELECT epochs.shard FROM epochs WHERE epochs.ended_at IS NULL)
    ),
    clock_timestamp(),
    clock_timestamp() + %s * interval '1 second',
    nextval('numbers')
RETURNING no, shard, pending_from

-- name: lock_epochs
LOCK TABLE epochs IN SHARE ROW EXCLUSIVE MODE

-- name: renew_epoch
UPDATE epochs
SET alive_until = clock_timestamp() + %s * interval '1 second', pending_from = %s
WHERE no = %s AND ended_at IS NULL
RETURNING no

-- name: end_epoch
UPDATE epochs SET ended_at = clock_timestamp() WHERE no = %s AND ended_at IS NULL

-- name: end_dead_epochs
UPDATE epochs SET ended_at = clock_timestamp() WHERE ended_at IS NULL AND alive_until < clock_timestamp()

-- name: epochs_to_clear
SELECT no FROM epochs WHERE NOT cleared AND ended_at IS NOT NULL ORDER BY no

-- name: pending_holds
SELECT hold.id
FROM transfers AS hold
WHERE hold.seq >= (SELECT pending_from FROM epochs WHERE no = %s)
    AND hold.kind = 'hold'
    AND hold.epoch = %s
    AND NOT EXISTS (SELECT FROM transfers AS ended WHERE ended.id = hold.id AND ended.kind <> 'hold')
ORDER BY hold.seq
LIMIT %s

-- name: clear_epoch
UPDATE epochs SET cleared = true WHERE no = %s

-- name: openings
-- Whose hold an id is, and which shard it stands in.
SELECT hold.id, wallet.id, epochs.shard, hold.key
FROM transfers AS hold
JOIN accounts AS wallet ON wallet.no = hold.account
JOIN epochs ON epochs.no = hold.epoch
WHERE hold.id = ANY(%s::text[]) AND hold.kind = 'hold'

-- name: entries
-- Between whom a credit or a post moved money.
SELECT entry.id, wallet.id, other.id
FROM transfers AS entry
JOIN accounts AS wallet ON wallet.no = entry.account
JOIN accounts AS other ON other.no = entry.counterparty
WHERE entry.id = ANY(%s::text[]) AND entry.kind IN ('credit', 'post')

-- name: lock_payouts
-- Until the end of the transaction. Who lowers what a provider is owed waits for others who do, since it is the sum of
-- shards that others raise. The key is the word "payouts" in ASCII.
SELECT pg_advisory_xact_lock(31632371580499059)

-- name: owed
-- Read after the lock.
SELECT id, sum(credits_posted - debits_posted)::text FROM accounts WHERE id = ANY(%s::text[]) GROUP BY id

-- name: frozen_of
-- Read after the lock of their accounts, which who freezes one takes too.
SELECT account, since_ms, who, why FROM frozen WHERE account = ANY(%s::text[]) AND since_ms IS NOT NULL

-- name: frozen
SELECT account, since_ms, who, why FROM frozen WHERE since_ms IS NOT NULL

-- name: insert_frozen
INSERT INTO frozen (account, since_ms, who, why)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[])
ON CONFLICT (account) DO UPDATE SET since_ms = excluded.since_ms, who = excluded.who, why = excluded.why

-- name: reversed
SELECT id FROM transfers WHERE kind = 'reverse'

-- name: lock_accounts
-- Locked in the order in which they come out, which is the same for every process: none waits in a circle.
SELECT
    accounts.id, accounts.no, accounts.debits_pending, accounts.debits_posted, accounts.credits_pending,
    accounts.credits_posted, accounts.last_seq, accounts.shard
FROM accounts
JOIN unnest(%s::text[], %s::integer[]) AS wanted (id, shard)
    ON accounts.id = wanted.id AND accounts.shard = wanted.shard
ORDER BY accounts.id, accounts.shard
FOR UPDATE OF accounts

-- name: chains
SELECT
    transfer.seq, transfer.id, transfer.kind, transfer.at_ms, wallet.id, transfer.previous, transfer.amount,
    transfer.available, other.id, transfer.bounds, transfer.unlimited, transfer.model, transfer.held, transfer.price,
    transfer.cost, transfer.over_max, transfer.late, transfer.ref, transfer.key
FROM transfers AS transfer
JOIN accounts AS wallet ON wallet.no = transfer.account
LEFT JOIN accounts AS other ON other.no = transfer.counterparty
WHERE transfer.id = ANY(%s::text[])
ORDER BY transfer.seq

-- name: claims
SELECT place, id, request, at_ms, answered FROM claims WHERE place = ANY(%s::text[])

-- name: chains_of_claims
-- What became of the calls that have claimed these places.
SELECT
    transfer.seq, transfer.id, transfer.kind, transfer.at_ms, wallet.id, transfer.previous, transfer.amount,
    transfer.available, other.id, transfer.bounds, transfer.unlimited, transfer.model, transfer.held, transfer.price,
    transfer.cost, transfer.over_max, transfer.late, transfer.ref, transfer.key
FROM claims
JOIN transfers AS transfer ON transfer.id = claims.id
JOIN accounts AS wallet ON wallet.no = transfer.account
LEFT JOIN accounts AS other ON other.no = transfer.counterparty
WHERE claims.place = ANY(%s::text[])
ORDER BY transfer.seq

-- name: insert_claims
INSERT INTO claims (place, id, request, at_ms, answered)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::boolean[])
ON CONFLICT (place) DO UPDATE
SET id = excluded.id, request = excluded.request, at_ms = excluded.at_ms, answered = false, answer = NULL

-- name: answer_claims
UPDATE claims
SET answered = true, answer = now.answer
FROM unnest(%s::bytea[], %s::text[], %s::text[]) AS now (answer, place, id)
WHERE claims.place = now.place AND claims.id = now.id

-- name: insert_kept
INSERT INTO kept AS known (account, day, bytes)
SELECT * FROM unnest(%s::text[], %s::integer[], %s::bigint[])
ON CONFLICT (account, day) DO UPDATE SET bytes = known.bytes + excluded.bytes

-- name: kept
-- Two days of each wallet, at most three.
SELECT account, day, bytes FROM kept WHERE account = ANY(%s::text[])

-- name: forget_kept
-- A bounded step.
DELETE FROM kept
WHERE (account, day) IN (
    SELECT account, day FROM kept WHERE day < %s ORDER BY day LIMIT 1000 FOR UPDATE SKIP LOCKED
)

-- name: forget_claims
-- A bounded step, the oldest first. The last of a transaction: it waits for nobody.
DELETE FROM claims
WHERE place IN (SELECT place FROM claims WHERE at_ms <= %s ORDER BY at_ms LIMIT %s FOR UPDATE SKIP LOCKED)

-- name: answer
SELECT claims.id, claims.request, claims.answer, calls.record, post.available
FROM claims
JOIN transfers AS post ON post.id = claims.id AND post.kind = 'post'
JOIN calls ON calls.seq = post.seq
WHERE claims.place = %s AND claims.answered AND claims.at_ms > %s

-- name: nonces_used
SELECT nonces.account, nonces.nonce
FROM nonces
JOIN unnest(%s::text[], %s::text[]) AS wanted (account, nonce)
    ON nonces.account = wanted.account AND nonces.nonce = wanted.nonce

-- name: forgotten
-- Asked after `nonces_used`: a nonce that was forgotten between the two is refused by this.
SELECT forgotten_ms FROM state

-- name: numbers
SELECT nextval('numbers')

-- name: insert_accounts
INSERT INTO accounts
    (no, id, shard, debits_pending, debits_posted, credits_pending, credits_posted, last_seq)
SELECT * FROM unnest(
    %s::bigint[], %s::text[], %s::integer[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]
)

-- name: update_accounts
UPDATE accounts
SET debits_pending = now.debits_pending,
    debits_posted = now.debits_posted,
    credits_pending = now.credits_pending,
    credits_posted = now.credits_posted,
    last_seq = now.last_seq
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS now (no, debits_pending, debits_posted, credits_pending, credits_posted, last_seq)
WHERE accounts.no = now.no

-- name: insert_transfers
INSERT INTO transfers (
    seq, id, kind, at_ms, account, previous, amount, available, counterparty, epoch, bounds, unlimited, model, held,
    price, cost, over_max, late, ref, key
)
SELECT * FROM unnest(
    %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::integer[], %s::text[], %s::boolean[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::boolean[], %s::text[], %s::text[]
)

-- name: insert_calls
INSERT INTO calls (seq, response_id, record) SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[])

-- name: insert_deliveries
INSERT INTO deliveries (seq, delivery)
SELECT * FROM unnest(%s::bigint[], %s::text[])
ON CONFLICT (seq) DO NOTHING

-- name: insert_recounts
INSERT INTO recounts (
    seq, provider, model, vocabulary, own, prompt_reported, prompt_own, completion_reported, completion_own
)
SELECT * FROM unnest(
    %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]
)
ON CONFLICT (seq) DO NOTHING

-- name: insert_usage
INSERT INTO usage AS kept (account, day, model, provider, calls, prompt, completion, cached, reasoning, charged)
SELECT * FROM unnest(
    %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::bigint[]
)
ON CONFLICT (account, day, model, provider) DO UPDATE
SET calls = kept.calls + excluded.calls,
    prompt = kept.prompt + excluded.prompt,
    completion = kept.completion + excluded.completion,
    cached = kept.cached + excluded.cached,
    reasoning = kept.reasoning + excluded.reasoning,
    charged = kept.charged + excluded.charged

-- name: insert_usage_by_name
INSERT INTO usage_by_name AS kept (account, day, kind, named, calls, prompt, completion, cached, reasoning, charged)
SELECT * FROM unnest(
    %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::bigint[]
)
ON CONFLICT (account, day, kind, named) DO UPDATE
SET calls = kept.calls + excluded.calls,
    prompt = kept.prompt + excluded.prompt,
    completion = kept.completion + excluded.completion,
    cached = kept.cached + excluded.cached,
    reasoning = kept.reasoning + excluded.reasoning,
    charged = kept.charged + excluded.charged

-- name: insert_nonces
INSERT INTO nonces (account, nonce, expires_ms) SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[])

-- name: insert_revocations
INSERT INTO revocations AS kept (message_hash, account, expires_ms)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[])
ON CONFLICT (message_hash) DO UPDATE SET expires_ms = greatest(kept.expires_ms, excluded.expires_ms)

-- name: insert_providers
INSERT INTO providers (id, disabled_ms, why)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[])
ON CONFLICT (id) DO UPDATE SET disabled_ms = excluded.disabled_ms, why = excluded.why

-- name: disabled
SELECT id, disabled_ms, why FROM providers WHERE disabled_ms IS NOT NULL

-- name: revoked_or_disabled
-- What stands against a call before it is routed: both in one, since each call asks for both.
SELECT message_hash, NULL::bigint, NULL FROM revocations WHERE message_hash = ANY(%s::text[])
UNION ALL
SELECT id, disabled_ms, why FROM providers WHERE disabled_ms IS NOT NULL

-- name: terms_of_keys
-- They never change.
SELECT id, terms FROM keys WHERE id = ANY(%s::text[])

-- name: lock_keys
SELECT terms, secret_hash, ended_ms FROM keys WHERE id = ANY(%s::text[]) ORDER BY id FOR UPDATE

-- name: insert_keys
INSERT INTO keys (id, account, secret_hash, terms, ended_ms)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])

-- name: end_keys
UPDATE keys
SET ended_ms = now.ended_ms
FROM unnest(%s::text[], %s::bigint[]) AS now (id, ended_ms)
WHERE keys.id = now.id

-- name: key_of_secret
SELECT terms, secret_hash, ended_ms FROM keys WHERE secret_hash = %s

-- name: keys_of
-- The newest first; ids are sortable by time.
SELECT terms, secret_hash, ended_ms FROM keys WHERE account = %s AND id < %s ORDER BY id DESC LIMIT %s

-- name: count_keys
SELECT count(*), count(*) FILTER (WHERE ended_ms IS NULL) FROM keys WHERE account = %s

-- name: forget
UPDATE state SET forgotten_ms = greatest(forgotten_ms, %s)

-- name: forget_nonces
-- A bounded step: others must not wait for a long clean-up.
DELETE FROM nonces
WHERE (account, nonce) IN (
    SELECT account, nonce FROM nonces WHERE expires_ms <= %s ORDER BY expires_ms LIMIT 10000 FOR UPDATE SKIP LOCKED
)

-- name: forget_revocations
DELETE FROM revocations WHERE expires_ms <= %s

-- name: prune_up_to
-- How far the oldest records go that are old enough, without a younger one before them. Its row's lock keeps other
-- processes from doing the same.
WITH oldest AS (
    SELECT calls.seq, transfers.at_ms
    FROM (SELECT seq FROM calls ORDER BY seq LIMIT %s) AS calls
    JOIN transfers ON transfers.seq = calls.seq
)
UPDATE pruned
SET seq = greatest(
    pruned.seq,
    coalesce((SELECT min(seq) - 1 FROM oldest WHERE at_ms >= %s), (SELECT max(seq) FROM oldest), 0)
)

-- name: prune_calls
DELETE FROM calls WHERE seq <= (SELECT seq FROM pruned)

-- name: prune_deliveries
DELETE FROM deliveries WHERE seq <= (SELECT seq FROM pruned)

-- name: prune_recounts
DELETE FROM recounts WHERE seq <= (SELECT seq FROM pruned)

-- name: pruned
SELECT seq FROM pruned

-- name: ended
SELECT 1
FROM transfers
JOIN accounts ON accounts.no = transfers.account
WHERE transfers.id = %s AND accounts.id = %s AND transfers.kind IN ('post', 'void')

-- name: insert_secret
INSERT INTO secrets (name, value) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING RETURNING name

-- name: secret
SELECT value FROM secrets WHERE name = %s

-- name: account
-- An account as the sum over its shards.
SELECT
    id, min(no), sum(debits_pending)::text, sum(debits_posted)::text, sum(credits_pending)::text,
    sum(credits_posted)::text, max(last_seq)
FROM accounts
WHERE id = %s
GROUP BY id

-- name: accounts_named
SELECT id, no, debits_pending, debits_posted, credits_pending, credits_posted, last_seq
FROM accounts
WHERE id = ANY(%s::text[]) AND shard = 0

-- name: all_accounts
SELECT
    id, min(no), sum(debits_pending)::text, sum(debits_posted)::text, sum(credits_pending)::text,
    sum(credits_posted)::text, max(last_seq)
FROM accounts
GROUP BY id

-- name: all_transfers
SELECT
    transfer.seq, transfer.id, transfer.kind, transfer.at_ms, wallet.id, transfer.previous, transfer.amount,
    transfer.available, other.id, transfer.bounds, transfer.unlimited, transfer.model, transfer.held, transfer.price,
    transfer.cost, transfer.over_max, transfer.late, transfer.ref, transfer.key,
    transfer.epoch, calls.seq IS NOT NULL
FROM transfers AS transfer
LEFT JOIN accounts AS wallet ON wallet.no = transfer.account
LEFT JOIN accounts AS other ON other.no = transfer.counterparty
LEFT JOIN calls ON calls.seq = transfer.seq
ORDER BY transfer.seq

-- name: flows
SELECT
    transfer.at_ms / %s AS day,
    transfer.kind,
    CASE transfer.kind WHEN 'pay' THEN wallet.id ELSE other.id END AS counterparty,
    count(*),
    sum(transfer.amount)::text,
    coalesce(sum(transfer.cost), 0)::text,
    coalesce(sum(greatest(transfer.cost - transfer.amount, 0)), 0)::text,
    sum(CASE transfer.kind WHEN 'reverse' THEN transfer.price ELSE 0 END)::text,
    CASE transfer.kind WHEN 'pay' THEN other.id ELSE '' END AS source
FROM transfers AS transfer
LEFT JOIN accounts AS other ON other.no = transfer.counterparty
LEFT JOIN accounts AS wallet ON wallet.no = transfer.account AND transfer.kind = 'pay'
WHERE transfer.kind NOT IN ('hold', 'void', 'expire')
GROUP BY 1, 2, 3, 9

-- name: billed
-- Calls that were posted with a provider, and all that were given back; what was reversed has been charged nothing.
SELECT
    transfer.id, transfer.kind, transfer.at_ms, coalesce(transfer.model, ''),
    CASE WHEN reversal.seq IS NULL THEN transfer.amount ELSE 0 END,
    coalesce(transfer.cost, 0), coalesce(reversal.price, 0), calls.record
FROM transfers AS transfer
LEFT JOIN transfers AS reversal ON reversal.id = transfer.id AND reversal.kind = 'reverse'
LEFT JOIN calls ON calls.seq = transfer.seq
WHERE transfer.at_ms >= %s
    AND transfer.at_ms < %s
    AND (
        transfer.kind = 'void'
        OR transfer.kind = 'post' AND transfer.counterparty IN (SELECT no FROM accounts WHERE id = %s)
    )
ORDER BY transfer.seq

-- name: unsettled
-- Holds that expired and were never posted.
SELECT expired.at_ms / %s AS day, count(*), sum(expired.held)::text
FROM transfers AS expired
WHERE expired.kind = 'expire'
    AND NOT EXISTS (SELECT FROM transfers AS posted WHERE posted.id = expired.id AND posted.kind = 'post')
GROUP BY day

-- name: all_pending
-- No epoch that may still have pending holds has any from before the first of these.
SELECT count(*), coalesce(sum(hold.amount), 0)::text
FROM transfers AS hold
WHERE hold.seq >= (SELECT min(pending_from) FROM epochs WHERE NOT cleared)
    AND hold.kind = 'hold'
    AND NOT EXISTS (SELECT FROM transfers AS ended WHERE ended.id = hold.id AND ended.kind <> 'hold')

-- name: cleared_epochs
SELECT no FROM epochs WHERE cleared

-- name: belongs
SELECT 1
FROM transfers JOIN accounts ON accounts.no = transfers.account
WHERE transfers.seq = %s AND accounts.id = %s

-- name: statement
-- Walks from one transfer back through the account's earlier ones.
WITH RECURSIVE page AS (
    SELECT transfers.*, 1 AS place FROM transfers WHERE seq = %s
    UNION ALL
    SELECT transfers.*, page.place + 1
    FROM page JOIN transfers ON transfers.seq = page.previous
    WHERE page.place < %s
)
SELECT
    page.seq, page.id, page.kind, page.at_ms, wallet.id, page.previous, page.amount,
    page.available, other.id, page.bounds, page.unlimited, page.model, page.held, page.price,
    page.cost, page.over_max, page.late, page.ref, page.key
FROM page
JOIN accounts AS wallet ON wallet.no = page.account
LEFT JOIN accounts AS other ON other.no = page.counterparty
ORDER BY page.seq DESC

-- name: call_by_id
SELECT calls.record, deliveries.delivery, recounts.own
FROM transfers
JOIN accounts ON accounts.no = transfers.account
JOIN calls ON calls.seq = transfers.seq
LEFT JOIN deliveries ON deliveries.seq = calls.seq
LEFT JOIN recounts ON recounts.seq = calls.seq
WHERE transfers.id = %s AND accounts.id = %s
ORDER BY transfers.seq DESC
LIMIT 1

-- name: call_by_response
-- Walks back through the account's newest transfers, as many as the limit says, to the newest match.
WITH RECURSIVE walk AS (
    SELECT transfers.seq, transfers.previous, 1 AS place
    FROM accounts JOIN transfers ON transfers.seq = accounts.last_seq
    WHERE accounts.id = %s
    UNION ALL
    SELECT transfers.seq, transfers.previous, walk.place + 1
    FROM walk JOIN transfers ON transfers.seq = walk.previous
    WHERE walk.place < %s
)
SELECT calls.record, deliveries.delivery, recounts.own
FROM walk
JOIN calls ON calls.seq = walk.seq
LEFT JOIN deliveries ON deliveries.seq = calls.seq
LEFT JOIN recounts ON recounts.seq = calls.seq
WHERE calls.response_id = %s
ORDER BY calls.seq DESC
LIMIT 1

-- name: recounts
SELECT
    recounts.provider, recounts.model, count(*),
    count(recounts.prompt_own), coalesce(sum(recounts.prompt_reported), 0)::bigint, coalesce(sum(recounts.prompt_own), 0)::bigint,
    count(recounts.completion_own),
    coalesce(sum(recounts.completion_reported), 0)::bigint, coalesce(sum(recounts.completion_own), 0)::bigint
FROM recounts
JOIN transfers ON transfers.seq = recounts.seq
WHERE transfers.at_ms >= %s
GROUP BY recounts.provider, recounts.model
ORDER BY recounts.provider, recounts.model

-- name: usage
SELECT
    CASE %s WHEN 'day' THEN day::text WHEN 'model' THEN model ELSE provider END AS key,
    sum(calls)::bigint, sum(prompt)::bigint, sum(completion)::bigint, sum(cached)::bigint, sum(reasoning)::bigint,
    sum(charged)::bigint
FROM usage
WHERE day BETWEEN %s AND %s AND account = (SELECT no FROM accounts WHERE id = %s AND shard = 0)
GROUP BY key

-- name: usage_of_accounts
SELECT accounts.id, sum(usage.calls)::bigint, sum(usage.charged)::bigint
FROM usage
LEFT JOIN accounts ON accounts.no = usage.account
GROUP BY usage.account, accounts.id

-- name: usage_by_name
-- One row of all calls, then one a name, with the number of rows it was summed from; of those as
-- many are read as the limit says.
WITH named AS (
    SELECT *
    FROM usage_by_name
    WHERE day BETWEEN %s AND %s AND account = (SELECT no FROM accounts WHERE id = %s AND shard = 0) AND kind = %s
    LIMIT %s
)
SELECT
    NULL, count(*), coalesce(sum(calls), 0)::bigint, coalesce(sum(prompt), 0)::bigint,
    coalesce(sum(completion), 0)::bigint, coalesce(sum(cached), 0)::bigint, coalesce(sum(reasoning), 0)::bigint,
    coalesce(sum(charged), 0)::bigint
FROM usage
WHERE day BETWEEN %s AND %s AND account = (SELECT no FROM accounts WHERE id = %s AND shard = 0)
UNION ALL
SELECT
    named, count(*), sum(calls)::bigint, sum(prompt)::bigint, sum(completion)::bigint, sum(cached)::bigint,
    sum(reasoning)::bigint, sum(charged)::bigint
FROM named
GROUP BY named
