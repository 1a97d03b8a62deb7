-- signal: question_skipped
--
-- Far more students pass over this question than over the others: it may be broken (a picture that
-- does not load, a field that takes nothing), or hard to understand. The help desk should try it.
--
-- Reason: who answered the question before it and one after it has passed it, and has either
-- answered it or not. What counts is how it differs from the other questions of the same exam in
-- the same half hour, since in some exams everybody skips and comes back.
-- Threshold: at least 10 attempts skipped it, at least half of those who passed it, and at least
-- three times the share of the other questions. A window ends every 30 seconds, so with a lateness
-- of a minute it shows within two minutes of the tenth student.
-- Not seen: the first and the last question, and the second of two broken ones in a row.
WITH answered AS (
    SELECT site, quiz, attempt, slot, window_start, window_end
    FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '30' MINUTE))
    WHERE type = 'answer' AND status = 1 AND quiz IS NOT NULL AND NOT preview
    GROUP BY site, quiz, attempt, slot, window_start, window_end
), reached AS (
    SELECT site, quiz, attempt, MAX(slot) AS last_slot, window_start, window_end
    FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '30' MINUTE))
    WHERE type = 'answer' AND status = 1 AND quiz IS NOT NULL AND NOT preview
    GROUP BY site, quiz, attempt, window_start, window_end
), passed AS (
    SELECT
        a.site, a.quiz, a.slot + 1 AS slot,
        CASE WHEN b.slot IS NULL THEN 1 ELSE 0 END AS passed_over,
        a.window_start, a.window_end
    FROM answered AS a
    JOIN reached AS r
        ON r.site = a.site AND r.quiz = a.quiz AND r.attempt = a.attempt
        AND r.window_start = a.window_start AND r.window_end = a.window_end
    LEFT JOIN answered AS b
        ON b.site = a.site AND b.quiz = a.quiz AND b.attempt = a.attempt AND b.slot = a.slot + 1
        AND b.window_start = a.window_start AND b.window_end = a.window_end
    WHERE r.last_slot > a.slot + 1
), questions AS (
    SELECT site, quiz, slot, COUNT(*) AS passed, SUM(passed_over) AS skipped, window_start, window_end
    FROM passed
    GROUP BY site, quiz, slot, window_start, window_end
), exams AS (
    SELECT site, quiz, COUNT(*) AS passed, SUM(passed_over) AS skipped, window_start, window_end
    FROM passed
    GROUP BY site, quiz, window_start, window_end
)
SELECT
    q.site,
    q.quiz,
    q.slot,
    q.passed,
    q.skipped,
    CAST(q.skipped AS DOUBLE) / q.passed AS skip_rate,
    CAST(e.skipped - q.skipped AS DOUBLE) / (e.passed - q.passed) AS skip_rate_of_others,
    q.window_start,
    q.window_end
FROM questions AS q
JOIN exams AS e
    ON e.site = q.site AND e.quiz = q.quiz
    AND e.window_start = q.window_start AND e.window_end = q.window_end
WHERE q.skipped >= 10
    AND 2 * q.skipped >= q.passed
    AND e.passed > q.passed
    AND q.skipped * (e.passed - q.passed) >= 3 * (e.skipped - q.skipped) * q.passed
