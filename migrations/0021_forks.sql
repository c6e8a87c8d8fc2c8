-- The room's state when the event came, where that is not the state before the event: it came late, on an older one.
ALTER TABLE event_state ADD COLUMN head_before bigint;
