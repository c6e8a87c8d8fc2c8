-- The names that this deployment has served under. All identifiers contain them, so a configuration that no longer has one of them is a
-- mistake, which is better noticed at the start than by everybody's accounts being gone.
CREATE TABLE server_names (
    name text PRIMARY KEY
);
