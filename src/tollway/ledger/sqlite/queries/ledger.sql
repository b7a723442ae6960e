-- name: begin
BEGIN IMMEDIATE

-- name: begin_read
BEGIN

-- name: use_wal
PRAGMA journal_mode = WAL

-- name: use_no_wal
PRAGMA journal_mode = DELETE

-- name: sync_every_commit
PRAGMA synchronous = FULL

-- name: wait_for_locks
PRAGMA busy_timeout = 5000

-- name: checkpoint
PRAGMA wal_checkpoint(TRUNCATE)

-- name: count_tables
SELECT count(*) FROM sqlite_master WHERE type = 'table'

-- name: has_schema_version
SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'

-- name: create_schema_version
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL, digest TEXT NOT NULL)

-- name: has_digests
SELECT count(*) FROM pragma_table_info('schema_version') WHERE name = 'digest'

-- name: applied
SELECT version, digest FROM schema_version ORDER BY version

-- name: insert_schema_version
INSERT INTO schema_version (version, applied_ms, digest) VALUES (?, ?, ?)

-- name: state
SELECT batch, next_seq, next_account_no, pending_from, newest_ms, forgotten_ms FROM state

-- name: update_state
UPDATE state SET batch = ?, next_seq = ?, next_account_no = ?, pending_from = ?, newest_ms = ?, forgotten_ms = ?

-- name: insert_epoch
INSERT INTO epochs (opened_ms) VALUES (?)

-- name: newest_epoch
SELECT coalesce(max(no), 0) FROM epochs

-- name: insert_account
INSERT INTO accounts (no, id, debits_pending, debits_posted, credits_pending, credits_posted, last_seq)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (no) DO UPDATE
SET debits_pending = excluded.debits_pending,
    debits_posted = excluded.debits_posted,
    credits_pending = excluded.credits_pending,
    credits_posted = excluded.credits_posted,
    last_seq = excluded.last_seq

-- name: account
SELECT no, debits_pending, debits_posted, credits_pending, credits_posted, last_seq FROM accounts WHERE id = ?

-- name: all_accounts
SELECT id, no, debits_pending, debits_posted, credits_pending, credits_posted, last_seq FROM accounts

-- name: sums
-- Nano-USD in two parts, whole USD and the rest, so that no sum of many accounts leaves 64 bits.
SELECT
    coalesce(sum((debits_pending - credits_pending) / 1000000000), 0),
    coalesce(sum((debits_pending - credits_pending) % 1000000000), 0),
    coalesce(sum((debits_posted - credits_posted) / 1000000000), 0),
    coalesce(sum((debits_posted - credits_posted) % 1000000000), 0)
FROM accounts

-- name: insert_credit
INSERT INTO transfers (seq, id, kind, at_ms, account, previous, amount, available, counterparty, ref)
VALUES (?, ?, 'credit', ?, ?, ?, ?, ?, ?, ?)

-- name: insert_reverse
INSERT INTO transfers
    (seq, id, kind, at_ms, account, previous, amount, available, counterparty, ref, unlimited, model, price, cost)
VALUES (?, ?, 'reverse', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_pay
INSERT INTO transfers (seq, id, kind, at_ms, account, previous, amount, available, counterparty, ref, unlimited)
VALUES (?, ?, 'pay', ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_hold
INSERT INTO transfers (seq, id, kind, at_ms, account, previous, amount, available, epoch, bounds, unlimited, model, key)
VALUES (?, ?, 'hold', ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''))

-- name: insert_post
INSERT INTO transfers
    (seq, id, kind, at_ms, account, previous, amount, available, counterparty, model, held, price, cost, over_max, late, key)
VALUES (?, ?, 'post', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, -1), ?, nullif(?, ''))

-- name: insert_void
INSERT INTO transfers (seq, id, kind, at_ms, account, previous, amount, available, model, held, key)
VALUES (?, ?, 'void', ?, ?, ?, ?, ?, ?, ?, nullif(?, ''))

-- name: insert_expire
INSERT INTO transfers (seq, id, kind, at_ms, account, previous, amount, available, model, held, key)
VALUES (?, ?, 'expire', ?, ?, ?, ?, ?, ?, ?, nullif(?, ''))

-- name: insert_call
INSERT INTO calls (seq, response_id, record) VALUES (?, nullif(?, ''), ?)

-- name: insert_delivery
INSERT INTO deliveries (seq, delivery) VALUES (?, ?) ON CONFLICT (seq) DO NOTHING

-- name: insert_recount
INSERT INTO recounts (
    seq, provider, model, vocabulary, own, prompt_reported, prompt_own, completion_reported, completion_own
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (seq) DO NOTHING

-- name: insert_usage
INSERT INTO usage (day, account, model, provider, calls, prompt, completion, cached, reasoning, charged)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (day, account, model, provider) DO UPDATE
SET calls = calls + excluded.calls,
    prompt = prompt + excluded.prompt,
    completion = completion + excluded.completion,
    cached = cached + excluded.cached,
    reasoning = reasoning + excluded.reasoning,
    charged = charged + excluded.charged

-- name: insert_usage_by_name
INSERT INTO usage_by_name (day, account, kind, name, calls, prompt, completion, cached, reasoning, charged)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (day, account, kind, name) DO UPDATE
SET calls = calls + excluded.calls,
    prompt = prompt + excluded.prompt,
    completion = completion + excluded.completion,
    cached = cached + excluded.cached,
    reasoning = reasoning + excluded.reasoning,
    charged = charged + excluded.charged

-- name: insert_nonce
INSERT INTO nonces (account, nonce, expires_ms) VALUES (?, ?, ?)
ON CONFLICT (account, nonce) DO UPDATE SET expires_ms = max(expires_ms, excluded.expires_ms)

-- name: insert_revocation
INSERT INTO revocations (message_hash, account, expires_ms) VALUES (?, ?, ?)
ON CONFLICT (message_hash) DO UPDATE SET expires_ms = max(expires_ms, excluded.expires_ms)

-- name: insert_claim
-- A new row at the end of the table, also for a place that had a claim: rows stand by age.
INSERT OR REPLACE INTO claims (place, id, request, at_ms, answered) VALUES (?, ?, ?, ?, 0)

-- name: answer_claim
UPDATE claims SET answered = 1, answer = ? WHERE place = ? AND id = ?

-- name: forget_claims
-- A bounded step that looks at the oldest rows alone.
DELETE FROM claims
WHERE at_ms <= ?2 AND no IN (SELECT no FROM claims ORDER BY no LIMIT ?1)

-- name: claim
SELECT place, id, request, at_ms, answered FROM claims WHERE place = ?

-- name: insert_kept
INSERT INTO kept (day, account, bytes) VALUES (?, ?, ?)
ON CONFLICT (day, account) DO UPDATE SET bytes = bytes + excluded.bytes

-- name: kept
SELECT bytes FROM kept WHERE day = ? AND account = ?

-- name: forget_kept
-- A bounded step.
DELETE FROM kept WHERE (day, account) IN (SELECT day, account FROM kept WHERE day < ? ORDER BY day LIMIT 1000)

-- name: answer
SELECT claims.id, claims.request, claims.answer, calls.record, post.available
FROM claims
JOIN transfers AS post ON post.id = claims.id AND post.kind = 'post'
JOIN calls ON calls.seq = post.seq
WHERE claims.place = ? AND claims.answered AND claims.at_ms > ?

-- name: insert_provider
INSERT INTO providers (id, disabled_ms, why) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET disabled_ms = excluded.disabled_ms, why = excluded.why

-- name: insert_key
INSERT INTO keys (id, account, secret_hash, terms, ended_ms) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET ended_ms = excluded.ended_ms

-- name: key
SELECT terms, secret_hash, ended_ms FROM keys WHERE id = ?

-- name: key_of_secret
SELECT terms, secret_hash, ended_ms FROM keys WHERE secret_hash = ?

-- name: keys_of
-- The newest first; ids are sortable by time.
SELECT terms, secret_hash, ended_ms FROM keys WHERE account = ? AND id < ? ORDER BY id DESC LIMIT ?

-- name: count_keys
SELECT count(*), count(*) FILTER (WHERE ended_ms IS NULL) FROM keys WHERE account = ?

-- name: insert_frozen
INSERT INTO frozen (account, since_ms, who, why) VALUES (?, ?, ?, ?)
ON CONFLICT (account) DO UPDATE SET since_ms = excluded.since_ms, who = excluded.who, why = excluded.why

-- name: insert_secret
INSERT INTO secrets (name, value) VALUES (?, ?)

-- name: forget_nonces
-- A bounded step that looks at the oldest rows alone: a batch must not wait for a long clean-up, and nonces live alike,
-- so that those burned first expire about first.
DELETE FROM nonces
WHERE expires_ms <= ? AND rowid IN (SELECT rowid FROM nonces ORDER BY rowid LIMIT 50000)

-- name: forget_revocations
DELETE FROM revocations WHERE expires_ms <= ?

-- name: nonces
SELECT account, nonce, expires_ms FROM nonces WHERE expires_ms > ? ORDER BY expires_ms

-- name: revocations
SELECT message_hash, expires_ms FROM revocations

-- name: disabled
SELECT id, disabled_ms, why FROM providers WHERE disabled_ms IS NOT NULL

-- name: frozen
SELECT account, since_ms, who, why FROM frozen WHERE since_ms IS NOT NULL

-- name: reversed
SELECT id FROM transfers WHERE kind = 'reverse'

-- name: secrets
SELECT name, value FROM secrets

-- name: pending_holds
SELECT
    hold.seq, hold.id, hold.kind, hold.at_ms, wallet.id, hold.previous, hold.amount, hold.available, NULL,
    hold.bounds, hold.unlimited, hold.model, hold.held, hold.price, hold.cost, hold.over_max, hold.late, hold.ref,
    hold.key
FROM transfers AS hold
JOIN accounts AS wallet ON wallet.no = hold.account
WHERE hold.seq >= ?
    AND hold.kind = 'hold'
    AND NOT EXISTS (SELECT 1 FROM transfers AS ended WHERE ended.id = hold.id AND ended.kind <> 'hold')
ORDER BY hold.seq

-- name: chain
SELECT
    transfer.seq, transfer.id, transfer.kind, transfer.at_ms, wallet.id, transfer.previous, transfer.amount,
    transfer.available, other.id, transfer.bounds, transfer.unlimited, transfer.model, transfer.held, transfer.price,
    transfer.cost, transfer.over_max, transfer.late, transfer.ref, transfer.key
FROM transfers AS transfer
JOIN accounts AS wallet ON wallet.no = transfer.account
LEFT JOIN accounts AS other ON other.no = transfer.counterparty
WHERE transfer.id = ?
ORDER BY transfer.seq

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

-- name: belongs
SELECT 1 FROM transfers JOIN accounts ON accounts.no = transfers.account WHERE transfers.seq = ? AND accounts.id = ?

-- name: statement
-- Walks from one transfer back through the account's earlier ones.
WITH RECURSIVE page AS (
    SELECT * FROM transfers WHERE seq = ?
    UNION ALL
    SELECT transfers.* FROM page JOIN transfers ON transfers.seq = page.previous
    LIMIT ?
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
WHERE transfers.id = ? AND accounts.id = ?
ORDER BY transfers.seq DESC
LIMIT 1

-- name: call_by_response
-- Walks back through the account's newest transfers, as many as the limit says, and stops at the first match.
WITH RECURSIVE walk (seq, previous) AS (
    SELECT transfers.seq, transfers.previous
    FROM accounts JOIN transfers ON transfers.seq = accounts.last_seq
    WHERE accounts.id = ?
    UNION ALL
    SELECT transfers.seq, transfers.previous FROM walk JOIN transfers ON transfers.seq = walk.previous
    LIMIT ?
)
SELECT calls.record, deliveries.delivery, recounts.own
FROM walk
CROSS JOIN calls ON calls.seq = walk.seq
LEFT JOIN deliveries ON deliveries.seq = calls.seq
LEFT JOIN recounts ON recounts.seq = calls.seq
WHERE calls.response_id = ?
LIMIT 1

-- name: recounts
SELECT
    recounts.provider, recounts.model, count(*),
    count(recounts.prompt_own), coalesce(sum(recounts.prompt_reported), 0), coalesce(sum(recounts.prompt_own), 0),
    count(recounts.completion_own),
    coalesce(sum(recounts.completion_reported), 0), coalesce(sum(recounts.completion_own), 0)
FROM recounts
JOIN transfers ON transfers.seq = recounts.seq
WHERE transfers.at_ms >= ?
GROUP BY recounts.provider, recounts.model
ORDER BY recounts.provider, recounts.model

-- name: usage
-- Day by day, since a row is found by its day and account together.
WITH RECURSIVE period (day, last, account) AS (
    SELECT ?, ?, (SELECT no FROM accounts WHERE id = ?)
    UNION ALL
    SELECT day + 1, last, account FROM period WHERE day < last
)
SELECT
    CASE ? WHEN 'day' THEN usage.day WHEN 'model' THEN usage.model ELSE usage.provider END AS key,
    sum(usage.calls),
    sum(usage.prompt),
    sum(usage.completion),
    sum(usage.cached),
    sum(usage.reasoning),
    sum(usage.charged)
FROM period
CROSS JOIN usage ON usage.day = period.day AND usage.account = period.account
GROUP BY key

-- name: usage_of_accounts
SELECT accounts.id, sum(usage.calls), sum(usage.charged)
FROM usage
LEFT JOIN accounts ON accounts.no = usage.account
GROUP BY usage.account

-- name: usage_by_name
-- One row of all calls, then one a name, with the number of rows it was summed from; of those as
-- many are read as the limit says.
WITH RECURSIVE period (day, last, account) AS (
    SELECT ?, ?, (SELECT no FROM accounts WHERE id = ?)
    UNION ALL
    SELECT day + 1, last, account FROM period WHERE day < last
),
named AS (
    SELECT usage_by_name.*
    FROM period
    CROSS JOIN usage_by_name
        ON usage_by_name.day = period.day AND usage_by_name.account = period.account AND usage_by_name.kind = ?
    LIMIT ?
)
SELECT
    NULL AS name,
    count(*),
    coalesce(sum(usage.calls), 0),
    coalesce(sum(usage.prompt), 0),
    coalesce(sum(usage.completion), 0),
    coalesce(sum(usage.cached), 0),
    coalesce(sum(usage.reasoning), 0),
    coalesce(sum(usage.charged), 0)
FROM period
CROSS JOIN usage ON usage.day = period.day AND usage.account = period.account
UNION ALL
SELECT
    named.name,
    count(*),
    sum(named.calls),
    sum(named.prompt),
    sum(named.completion),
    sum(named.cached),
    sum(named.reasoning),
    sum(named.charged)
FROM named
GROUP BY named.name

-- name: flows
-- Sums in two parts, whole USD and the rest.
SELECT
    transfer.at_ms / ? AS day,
    transfer.kind,
    CASE transfer.kind WHEN 'pay' THEN wallet.id ELSE other.id END,
    count(*),
    sum(transfer.amount / 1000000000),
    sum(transfer.amount % 1000000000),
    coalesce(sum(transfer.cost / 1000000000), 0),
    coalesce(sum(transfer.cost % 1000000000), 0),
    coalesce(sum(max(transfer.cost - transfer.amount, 0) / 1000000000), 0),
    coalesce(sum(max(transfer.cost - transfer.amount, 0) % 1000000000), 0),
    coalesce(sum(CASE transfer.kind WHEN 'reverse' THEN transfer.price ELSE 0 END / 1000000000), 0),
    coalesce(sum(CASE transfer.kind WHEN 'reverse' THEN transfer.price ELSE 0 END % 1000000000), 0),
    CASE transfer.kind WHEN 'pay' THEN other.id ELSE '' END
FROM transfers AS transfer
LEFT JOIN accounts AS other ON other.no = transfer.counterparty
LEFT JOIN accounts AS wallet ON wallet.no = transfer.account AND transfer.kind = 'pay'
WHERE transfer.kind NOT IN ('hold', 'void', 'expire')
GROUP BY day, transfer.kind, transfer.counterparty, wallet.id

-- name: billed
-- Calls that were posted with a provider, and all that were given back; what was reversed has been charged nothing.
SELECT
    transfer.id, transfer.kind, transfer.at_ms, coalesce(transfer.model, ''),
    CASE WHEN reversal.seq IS NULL THEN transfer.amount ELSE 0 END,
    coalesce(transfer.cost, 0), coalesce(reversal.price, 0), calls.record
FROM transfers AS transfer
LEFT JOIN transfers AS reversal ON reversal.id = transfer.id AND reversal.kind = 'reverse'
LEFT JOIN calls ON calls.seq = transfer.seq
WHERE transfer.at_ms >= ?
    AND transfer.at_ms < ?
    AND (
        transfer.kind = 'void'
        OR transfer.kind = 'post' AND transfer.counterparty IN (SELECT no FROM accounts WHERE id = ?)
    )
ORDER BY transfer.seq

-- name: unsettled
-- Holds that expired and were never posted.
SELECT
    expired.at_ms / ? AS day,
    count(*),
    sum(expired.held / 1000000000),
    sum(expired.held % 1000000000)
FROM transfers AS expired
WHERE expired.kind = 'expire'
    AND NOT EXISTS (SELECT 1 FROM transfers AS posted WHERE posted.id = expired.id AND posted.kind = 'post')
GROUP BY day

-- name: prune_up_to
-- How far the oldest records go that are old enough, without a younger one before them.
WITH oldest AS (
    SELECT calls.seq, transfers.at_ms
    FROM calls CROSS JOIN transfers ON transfers.seq = calls.seq
    ORDER BY calls.seq
    LIMIT ?
)
UPDATE pruned
SET seq = max(
    seq,
    coalesce((SELECT min(seq) - 1 FROM oldest WHERE at_ms >= ?), (SELECT max(seq) FROM oldest), 0)
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
WHERE transfers.id = ? AND accounts.id = ? AND transfers.kind IN ('post', 'void')

-- name: fill_probe
INSERT INTO probes (filling) VALUES (zeroblob(?))

-- name: empty_probe
DELETE FROM probes
