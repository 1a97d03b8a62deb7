-- signal: leaving
--
-- The student leaves the exam's page again and again, each time for another tab or window.
--
-- Reason: browsers count how often a page was hidden, as a running total of each page instance; the
-- difference within the window is what happened in it. A notification or a screen lock hides a page
-- too, once.
-- Threshold: 5 times in ten minutes. Not measured on real data; an exam with a permitted second
-- page needs more, or none of this.
WITH pages AS (
    SELECT
        site, quiz, attempt, page, MAX(student_id) AS student_id,
        MAX(CAST(JSON_VALUE(counts, '$.hidden') AS BIGINT))
            - MIN(CAST(JSON_VALUE(counts, '$.hidden') AS BIGINT)) AS more,
        window_start, window_end
    FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '10' MINUTE))
    WHERE JSON_VALUE(counts, '$.hidden') IS NOT NULL
        AND quiz IS NOT NULL AND attempt IS NOT NULL AND NOT preview
    GROUP BY site, quiz, attempt, page, window_start, window_end
)
SELECT
    site,
    quiz,
    attempt,
    MAX(student_id) AS student_id,
    SUM(more) AS times_left,
    window_start,
    window_end
FROM pages
GROUP BY site, quiz, attempt, window_start, window_end
HAVING SUM(more) >= 5
