-- signal: pasting
--
-- The student pastes text into answers more often than moving own sentences about explains.
--
-- Reason: browsers count pastes, never their content, as a running total of each page instance; the
-- difference within the window is what happened in it.
-- Threshold: 3 times in ten minutes. Not measured on real data; in an exam whose answers are written
-- elsewhere and pasted (programs, essays) the rule says nothing: remove it there.
WITH pages AS (
    SELECT
        site, quiz, attempt, page, MAX(student_id) AS student_id,
        MAX(CAST(JSON_VALUE(counts, '$.pasted') AS BIGINT))
            - MIN(CAST(JSON_VALUE(counts, '$.pasted') AS BIGINT)) AS more,
        window_start, window_end
    FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '10' MINUTE))
    WHERE JSON_VALUE(counts, '$.pasted') IS NOT NULL
        AND quiz IS NOT NULL AND attempt IS NOT NULL AND NOT preview
    GROUP BY site, quiz, attempt, page, window_start, window_end
)
SELECT
    site,
    quiz,
    attempt,
    MAX(student_id) AS student_id,
    SUM(more) AS pasted,
    window_start,
    window_end
FROM pages
GROUP BY site, quiz, attempt, window_start, window_end
HAVING SUM(more) >= 3
