-- Messages from device to device: the queue of each, until the device acknowledges them. message_nid grows within a device in the order of commits: who
-- writes locks the device first.
CREATE SEQUENCE to_device_numbers;
CREATE TABLE to_device_messages (
    device_nid bigint NOT NULL REFERENCES devices ON DELETE CASCADE,
    message_nid bigint NOT NULL DEFAULT nextval('to_device_numbers'),
    sender_nid bigint NOT NULL,
    type text NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (device_nid, message_nid)
);

-- What has been sent, so that a repeated request sends nothing. scope: the sender's device, or minus the token of one without.
CREATE TABLE to_device_transactions (
    scope bigint NOT NULL,
    txn_id text NOT NULL,
    type text NOT NULL,
    sent_ts bigint NOT NULL,
    PRIMARY KEY (scope, txn_id, type)
);
CREATE INDEX to_device_transactions_by_age ON to_device_transactions (sent_ts);
