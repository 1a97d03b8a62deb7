<?php
// Puts one answer and prints the seconds until exam_stream_state() has it (at most 5).
$now = microtime(true);
$seq = hrtime(true);
exam_stream_put('', json_encode(['v' => 1, 'id' => "fold-$seq", 'type' => 'answer', 'ts' => $now, 'at' => $now, 'site' => 'test',
    'quiz' => 1, 'attempt' => (int) $_GET['attempt'], 'usage' => 1, 'qa' => 1, 'slot' => 1, 'student_id' => 1, 'page' => 'page', 'seq' => $seq,
    'status' => 1, 'fields' => ['answer' => (string) $seq]]));
do {
    usleep(1000);
    $state = exam_stream_state('test', (int) $_GET['attempt']);
    $delay = microtime(true) - $now;
} while (($state['slots'][1]['seq'] ?? 0) !== $seq && $delay < 5);
echo json_encode($delay);
