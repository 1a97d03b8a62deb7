-- signal: two_devices
--
-- One attempt is open on two devices at the same time. A student who was given another computer
-- leaves the first one; a page that somebody else has open as well goes on beside it.
--
-- Reason: each record carries the number of the browser that it came from. One device after the
-- other is a change of device; records of both in turn are two at once.
-- Threshold: in ten minutes, each of the two was heard of after the other had begun, for at least
-- a minute (four signs of life). A second window of the same browser is the same device; another
-- browser, or a private window, on the same computer is not: look before you speak.
WITH devices AS (
    SELECT
        site, quiz, attempt, device, MAX(student_id) AS student_id,
        MIN(ts) AS first_seen, MAX(ts) AS last_seen, MAX(address) AS address,
        window_start, window_end
    FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '10' MINUTE))
    WHERE device IS NOT NULL AND quiz IS NOT NULL AND attempt IS NOT NULL AND NOT preview
    GROUP BY site, quiz, attempt, device, window_start, window_end
)
SELECT
    a.site,
    a.quiz,
    a.attempt,
    MAX(a.student_id) AS student_id,
    COUNT(*) AS pairs_of_devices,
    MAX(CASE WHEN a.address = b.address THEN 0 ELSE 1 END) AS other_address,
    a.window_start,
    a.window_end
FROM devices AS a
JOIN devices AS b
    ON b.site = a.site AND b.quiz = a.quiz AND b.attempt = a.attempt
    AND b.window_start = a.window_start AND b.window_end = a.window_end
WHERE a.device < b.device
    AND TIMESTAMPDIFF(SECOND, a.first_seen, b.last_seen) >= 60
    AND TIMESTAMPDIFF(SECOND, b.first_seen, a.last_seen) >= 60
GROUP BY a.site, a.quiz, a.attempt, a.window_start, a.window_end
