-- signal: gone
--
-- A student who had begun gives no sign of life: the computer crashed, the network is down, or
-- they left without a word. Somebody should go and look.
--
-- Reason: the page sends a sign of life every 15 seconds while it sends nothing else, so a minute
-- of silence is four of them missed. What an invigilator does is no sign of the student's life.
-- Threshold: 60 seconds, in HAVING. Repeated every minute while it holds, for half an hour at most.
-- Not shown: an attempt that has ended and was not reopened, and previews.
SELECT
    site,
    quiz,
    attempt,
    MAX(student_id) AS student_id,
    MAX(ts) AS last_seen,
    TIMESTAMPDIFF(SECOND, MAX(ts), window_end) AS silent_s,
    window_start,
    window_end
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '30' MINUTE))
WHERE quiz IS NOT NULL AND attempt IS NOT NULL AND NOT preview
    AND (type <> 'help' OR help_step IS NULL OR help_step = 'asked')
GROUP BY site, quiz, attempt, window_start, window_end
HAVING TIMESTAMPDIFF(SECOND, MAX(ts), window_end) >= 60
    AND COALESCE(
        MAX(ts) FILTER (WHERE type IN ('submitted', 'finished', 'abandoned', 'overdue'))
            <= MAX(ts) FILTER (WHERE type = 'reopened'),
        COUNT(*) FILTER (WHERE type IN ('submitted', 'finished', 'abandoned', 'overdue')) = 0)
