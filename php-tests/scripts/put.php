<?php
// Puts ?n= records with ids "?prefix=-0…"; prints the ids accepted, the pid and the slowest put.
$accepted = [];
$slowest = 0;
for ($i = 0; $i < ($_GET['n'] ?? 1); $i++) {
    $id = $_GET['prefix'] . '-' . $i;
    $line = json_encode(['v' => 1, 'id' => $id, 'type' => 'answer', 'ts' => microtime(true), 'at' => microtime(true),
        'site' => 'test', 'quiz' => 1, 'attempt' => (int) ($_GET['attempt'] ?? 1), 'usage' => 1, 'qa' => 1 + $i % 20, 'slot' => 1 + $i % 20,
        'student_id' => 1, 'page' => 'p', 'seq' => $i, 'status' => 1, 'fields' => ['answer' => "$i"]]);
    $start = hrtime(true);
    if (exam_stream_put($_GET['stream'] ?? '', $line)) {
        $accepted[] = $id;
    }
    $slowest = max($slowest, hrtime(true) - $start);
    if (isset($_GET['sleep'])) {
        usleep((int) $_GET['sleep']);
    }
}
echo json_encode(['pid' => getmypid(), 'accepted' => $accepted, 'slowest_us' => $slowest / 1000]);
