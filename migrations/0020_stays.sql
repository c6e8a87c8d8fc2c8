-- Where a user's last stay in a room ended, and the state of the room then: who left still sees what was before. 0: never joined, or forgotten.
ALTER TABLE room_memberships ADD COLUMN left_seq bigint NOT NULL DEFAULT 0, ADD COLUMN left_root bigint NOT NULL DEFAULT 0;
UPDATE room_memberships m SET left_seq = l.seq, left_root = l.root_after
FROM (SELECT DISTINCT ON (j.room_nid, j.target_nid) j.room_nid, j.target_nid, j.seq, j.root_after
      FROM (SELECT room_nid, target_nid, pos, seq, root_after, membership, lag(membership) OVER (PARTITION BY room_nid, target_nid ORDER BY pos) AS before
            FROM journal WHERE kind IN (1, 2) AND key_nid IS NOT NULL AND target_nid IS NOT NULL) j
      WHERE j.before = 2 AND j.membership <> 2 ORDER BY j.room_nid, j.target_nid, j.pos DESC) l
WHERE m.room_nid = l.room_nid AND m.user_nid = l.target_nid AND m.membership <> 2 AND NOT m.forgotten;
