-- How many bytes of answers are kept with the claims that a wallet made on a UTC day (counted from 1970-01-01).
CREATE TABLE kept (
    day INTEGER NOT NULL,
    account TEXT NOT NULL,  -- accounts.id
    bytes INTEGER NOT NULL,
    PRIMARY KEY (day, account)
) WITHOUT ROWID;

INSERT INTO kept (day, account, bytes)
SELECT claims.at_ms / 86400000, accounts.id, sum(length(claims.answer))
FROM claims
JOIN transfers ON transfers.id = claims.id AND transfers.kind = 'hold'
JOIN accounts ON accounts.no = transfers.account
WHERE claims.answer IS NOT NULL
GROUP BY 1, 2;
