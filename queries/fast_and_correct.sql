-- signal: fast_and_correct
--
-- In these ten minutes the student gave far more right answers than the others did. Good students
-- are like that; so is who knows the questions beforehand, or is told the answers. Compare with the
-- student's other work, and look at the whole exam; by itself it is a reason for nothing.
--
-- It tells of right answers, so the board shows it when the attempt has ended (`afterwards`).
--
-- Needs the reference table answer_key (answer_key.csv: quiz,slot,answer; a row for each right
-- answer), and is subject to what question_wrong.sql says of shuffled options.
--
-- Reason: right answers in ten minutes, against mean and standard deviation of all attempts that
-- answered anything in the same ten minutes.
-- Threshold: at least 10 right ones, four fifths of what was answered, and 4.5 standard deviations
-- above the mean of at least 20 attempts. On a real licensing exam (796 people, 19 flagged by the
-- vendor, put on one clock) that names 6 people, 4 of them flagged; but window and threshold were
-- chosen on the same exam, so expect less of another one.
WITH given AS (
    SELECT
        site, quiz, attempt, MAX(student_id) AS student_id, slot,
        JSON_VALUE(fields, '$.answer') AS answer,
        window_start, window_end
    FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '10' MINUTE))
    WHERE type = 'answer' AND status = 1 AND quiz IS NOT NULL AND NOT preview
    GROUP BY site, quiz, attempt, slot, JSON_VALUE(fields, '$.answer'), window_start, window_end
), judged AS (
    SELECT
        g.site, g.quiz, g.attempt, MAX(g.student_id) AS student_id,
        COUNT(DISTINCT g.slot) AS answered,
        COUNT(DISTINCT k.slot) AS correct,
        g.window_start, g.window_end
    FROM given AS g
    LEFT JOIN answer_key AS k
        ON k.quiz = g.quiz AND k.slot = g.slot AND CAST(k.answer AS STRING) = g.answer
    GROUP BY g.site, g.quiz, g.attempt, g.window_start, g.window_end
), usual AS (
    SELECT
        site, quiz, COUNT(*) AS attempts,
        AVG(CAST(correct AS DOUBLE)) AS mean_correct,
        STDDEV_POP(CAST(correct AS DOUBLE)) AS sd_correct,
        window_start, window_end
    FROM judged
    GROUP BY site, quiz, window_start, window_end
)
SELECT
    j.site,
    j.quiz,
    j.attempt,
    j.student_id,
    j.answered,
    j.correct,
    u.mean_correct,
    (j.correct - u.mean_correct) / u.sd_correct AS z,
    TRUE AS afterwards,
    j.window_start,
    j.window_end
FROM judged AS j
JOIN usual AS u
    ON u.site = j.site AND u.quiz = j.quiz
    AND u.window_start = j.window_start AND u.window_end = j.window_end
WHERE u.attempts >= 20
    AND j.correct >= 10
    AND 10 * j.correct >= 8 * j.answered
    AND u.sd_correct > 0
    AND j.correct - u.mean_correct >= 4.5 * u.sd_correct
