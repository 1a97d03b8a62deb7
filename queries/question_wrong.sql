-- signal: question_wrong
--
-- Nearly everybody gets this question wrong, while the others go as usual: the key may be wrong,
-- the text may have lost something, or it is too hard. Somebody who knows the subject should look.
--
-- Needs the reference table answer_key (answer_key.csv: quiz,slot,answer; a row for each right
-- answer). It compares what was posted: for multiple choice that is the option's position, so a
-- quiz that shuffles its options must leave its multiple choice questions out of the table.
--
-- Reason: an attempt has it wrong that answered in the last half hour and never right. Others is
-- the share of wrong among the exam's other questions in the same time.
-- Threshold: at least 20 attempts, nine tenths of them wrong, and 40 percentage points more than
-- the others. In a real exam of 154 questions (1,609 students) the hardest one was wrong for 76 %.
WITH given AS (
    SELECT
        site, quiz, attempt, slot, JSON_VALUE(fields, '$.answer') AS answer,
        window_start, window_end
    FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '30' MINUTE))
    WHERE type = 'answer' AND status = 1 AND quiz IS NOT NULL AND NOT preview
    GROUP BY site, quiz, attempt, slot, JSON_VALUE(fields, '$.answer'), window_start, window_end
), slots AS (
    SELECT DISTINCT quiz, slot FROM answer_key
), judged AS (
    SELECT
        g.site, g.quiz, g.attempt, g.slot,
        CASE WHEN COUNT(k.answer) = 0 THEN 1 ELSE 0 END AS bad,
        g.window_start, g.window_end
    FROM given AS g
    JOIN slots AS s ON s.quiz = g.quiz AND s.slot = g.slot
    LEFT JOIN answer_key AS k
        ON k.quiz = g.quiz AND k.slot = g.slot AND CAST(k.answer AS STRING) = g.answer
    GROUP BY g.site, g.quiz, g.attempt, g.slot, g.window_start, g.window_end
), questions AS (
    SELECT site, quiz, slot, COUNT(*) AS attempts, SUM(bad) AS wrong, window_start, window_end
    FROM judged
    GROUP BY site, quiz, slot, window_start, window_end
), exams AS (
    SELECT site, quiz, COUNT(*) AS attempts, SUM(bad) AS wrong, window_start, window_end
    FROM judged
    GROUP BY site, quiz, window_start, window_end
)
SELECT
    q.site,
    q.quiz,
    q.slot,
    q.attempts,
    CAST(q.wrong AS DOUBLE) / q.attempts AS error_rate,
    CAST(e.wrong - q.wrong AS DOUBLE) / (e.attempts - q.attempts) AS error_rate_of_others,
    q.window_start,
    q.window_end
FROM questions AS q
JOIN exams AS e
    ON e.site = q.site AND e.quiz = q.quiz
    AND e.window_start = q.window_start AND e.window_end = q.window_end
WHERE q.attempts >= 20
    AND 10 * q.wrong >= 9 * q.attempts
    AND e.attempts > q.attempts
    AND CAST(q.wrong AS DOUBLE) / q.attempts
        - CAST(e.wrong - q.wrong AS DOUBLE) / (e.attempts - q.attempts) >= 0.4
