-- A key that was claimed stays known for a while: its device may upload it again when the answer to the upload was lost, and it must not be given out twice.
ALTER TABLE one_time_keys ADD COLUMN claimed boolean NOT NULL DEFAULT false;
DROP INDEX one_time_keys_by_age;
CREATE INDEX one_time_keys_by_age ON one_time_keys (device_nid, algorithm, age) WHERE NOT claimed;
