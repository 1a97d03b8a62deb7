<?php
// Puts for ?seconds=, one record about every ?every= microseconds, and appends the id of each
// accepted one to ?log= once it is accepted: what this log names must never be lost.
// The attempt's state must end at the greatest seq per slot.
$log = fopen($_GET['log'], 'a');
stream_set_write_buffer($log, 0);
$attempt = (int) $_GET['attempt'];
$seq = (int) ($_GET['from'] ?? 0);
$puts = [];
$end = microtime(true) + (float) $_GET['seconds'];
while (($now = microtime(true)) < $end) {
    $seq++;
    $slot = 1 + $seq % 10;
    $id = "$attempt-$seq";
    $line = json_encode(['v' => 1, 'id' => $id, 'type' => 'answer', 'ts' => $now, 'at' => $now, 'sent' => $now, 'site' => 'test',
        'quiz' => 1, 'attempt' => $attempt, 'usage' => $attempt, 'qa' => $attempt * 100 + $slot, 'slot' => $slot, 'student_id' => $attempt,
        'page' => 'page', 'seq' => $seq, 'status' => 1, 'fields' => ['answer' => (string) $seq, ':sequencecheck' => '1']]);
    $start = hrtime(true);
    $accepted = exam_stream_put('', $line);
    $puts[] = hrtime(true) - $start;
    if ($accepted) {
        fwrite($log, "$id\n");
    }
    usleep((int) $_GET['every']);
}
sort($puts);
echo json_encode(['pid' => getmypid(), 'puts' => count($puts), 'p99_us' => $puts[(int) (count($puts) * 0.99)] / 1000,
    'slowest_us' => end($puts) / 1000, 'rss_kib' => (int) preg_replace('/.*VmRSS:\s*(\d+).*/s', '$1', file_get_contents('/proc/self/status'))]);
