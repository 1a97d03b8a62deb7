-- The paper's Figure 3, in today's form: the sum of `status` for every student and minute.
--
-- `status` is 1 for an answer and 0 for one that was taken back, so the sum is how many answers a
-- student gave in that minute. What became of each clause of the old statement: docs/sql.md.
SELECT
    student_id,
    SUM(status) AS status_sum,
    window_start,
    window_end
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
WHERE status IS NOT NULL
GROUP BY student_id, window_start, window_end
