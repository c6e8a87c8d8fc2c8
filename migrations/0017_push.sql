-- What a user changed of the predefined push rules, and their own: the text that lib/matrix/push_rules.h writes. No row: nothing was ever changed.
CREATE TABLE push_rules (
    user_nid bigint PRIMARY KEY REFERENCES accounts,
    rules text NOT NULL
);
