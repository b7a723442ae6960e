-- How many bytes of answers are kept with the claims that a wallet made on a UTC day (counted from 1970-01-01).
CREATE TABLE kept (
    account text NOT NULL,  -- accounts.id
    day integer NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (account, day)
) WITH (fillfactor = 70);

CREATE INDEX kept_by_day ON kept (day);

INSERT INTO kept (account, day, bytes)
SELECT accounts.id, claims.at_ms / 86400000, sum(length(claims.answer))
FROM claims
JOIN transfers ON transfers.id = claims.id AND transfers.kind = 'hold'
JOIN accounts ON accounts.no = transfers.account
WHERE claims.answer IS NOT NULL
GROUP BY 1, 2;
