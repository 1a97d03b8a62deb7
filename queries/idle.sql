-- signal: idle
--
-- The student is there, but the exam's page has been in the background for most of ten minutes:
-- another window, another tab, or the screen is off.
--
-- Reason: browsers tell how many seconds a page was hidden, as a running total of each page
-- instance; the difference within the window is what passed in it.
-- Threshold: 300 of 600 seconds. A browser that is covered by another window need not say so, and
-- where students are meant to use other pages (a formulary, a library) the rule says nothing:
-- remove it there.
WITH pages AS (
    SELECT
        site, quiz, attempt, page, MAX(student_id) AS student_id,
        MAX(CAST(JSON_VALUE(counts, '$.hidden_s') AS BIGINT))
            - MIN(CAST(JSON_VALUE(counts, '$.hidden_s') AS BIGINT)) AS more,
        window_start, window_end
    FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '10' MINUTE))
    WHERE JSON_VALUE(counts, '$.hidden_s') IS NOT NULL
        AND quiz IS NOT NULL AND attempt IS NOT NULL AND NOT preview
    GROUP BY site, quiz, attempt, page, window_start, window_end
)
SELECT
    site,
    quiz,
    attempt,
    MAX(student_id) AS student_id,
    SUM(more) AS hidden_s,
    window_start,
    window_end
FROM pages
GROUP BY site, quiz, attempt, window_start, window_end
HAVING SUM(more) >= 300
