-- signal: stuck
--
-- A student is there, but has answered nothing for a long time: the page may be broken, the
-- question not understood, the student unwell. Somebody should go and ask.
--
-- Reason: present is a sign of life in the last minute; silent is no answer for ten minutes since
-- the last one (or, before the first, since the start) while the attempt is open.
-- Threshold: 600 seconds, in HAVING. An exam whose questions take longer to think about needs more.
-- Repeated every minute while it holds. Not shown: who has asked for help in the last half hour
-- (somebody comes anyway), an attempt that has ended, and previews.
SELECT
    site,
    quiz,
    attempt,
    MAX(student_id) AS student_id,
    MAX(ts) FILTER (WHERE type IN ('answer', 'started')) AS last_answer,
    TIMESTAMPDIFF(SECOND, MAX(ts) FILTER (WHERE type IN ('answer', 'started')), window_end) AS stuck_s,
    window_start,
    window_end
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '30' MINUTE))
WHERE quiz IS NOT NULL AND attempt IS NOT NULL AND NOT preview
    AND (type <> 'help' OR help_step IS NULL OR help_step = 'asked')
GROUP BY site, quiz, attempt, window_start, window_end
HAVING TIMESTAMPDIFF(SECOND, MAX(ts), window_end) < 60
    AND TIMESTAMPDIFF(SECOND, MAX(ts) FILTER (WHERE type IN ('answer', 'started')), window_end) >= 600
    AND COUNT(*) FILTER (WHERE type IN ('submitted', 'finished', 'abandoned', 'overdue', 'help')) = 0
