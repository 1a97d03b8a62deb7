<?php
// This file is part of Exam Stream.
//
// Exam Stream is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Exam Stream is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Exam Stream.  If not, see <http://www.gnu.org/licenses/>.

/**
 * A crowd in an exam, simulated: records of many students, as the plugin would write them.
 *
 *     php crowd.php JSON [RATE SECONDS]
 *
 * JSON: site, quiz, students (user ids), slots. Without more, each student gets an attempt (attempt id: user id + 10⁹, so
 * that it is nobody's) in one of the states there are. With RATE it then goes on: so many changes a second, most of them
 * signs of life and answers of whoever has been silent the longest. Prints how many records it put.
 *
 * @copyright 2026 The Exam Stream authors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

$crowd = json_decode($argv[1], true, 8, JSON_THROW_ON_ERROR);
mt_srand(7);

/** A record. */
$record = function (int $student, string $type, float $ts, array $contents) use ($crowd): array {
    static $seq = 0;
    $seq++;
    $attempt = 1000000000 + $student;
    $page = sprintf('%016x-%08x.c0ffee00', (int) ($ts * 1e6), $student);
    return $contents + ['v' => 1, 'id' => "$attempt-$page-$seq", 'type' => $type, 'ts' => round($ts, 6), 'at' => round($ts, 6),
        'site' => $crowd['site'], 'quiz' => $crowd['quiz'], 'attempt' => $attempt, 'usage' => $attempt, 'student_id' => $student,
        'page' => $page, 'seq' => $seq];
};
$answer = fn(int $student, float $ts, int $slot, int $n, bool $flagged): array => $record($student, 'answer', $ts, ['slot' => $slot,
    'qa' => $student * 1000 + $slot, 'status' => 1, 'fields' => [':sequencecheck' => '1', ':flagged' => $flagged ? '1' : '0', 'answer' => "$n"]]);

/** Hands records over, whatever the spool takes at once. */
$total = 0;
$put = function (array $records) use (&$total): void {
    foreach (array_chunk($records, 500) as $some) {
        while ($some) {
            $accepted = exam_stream_put_many('', $some);
            $total += $accepted;
            $some = array_slice($some, $accepted);
            $some && usleep(20000);
        }
    }
};

if (!isset($argv[2])) {
    $now = microtime(true);
    foreach ($crowd['students'] as $i => $student) {
        if ($i % 25 === 24) {
            continue; // Has not begun.
        }
        $start = $now - 1800 + mt_rand(0, 300);
        // Some have been silent for a while, some have just missed a sign of life.
        $last = $now - ($i % 17 === 5 ? mt_rand(60, 900) : ($i % 40 === 7 ? 20 : 0));
        $records = [$record($student, 'started', $start, ['slots' => array_combine(
            range(1, $crowd['slots']),
            array_map(fn($slot) => $student * 1000 + $slot, range(1, $crowd['slots']))
        )])];
        $done = mt_rand(0, $crowd['slots']);
        for ($slot = 1; $slot <= $done; $slot++) {
            $ts = $start + ($last - $start) * $slot / ($crowd['slots'] + 1);
            $records[] = $answer($student, $ts, $slot, 1, mt_rand(0, 9) === 0);
            if (mt_rand(0, 5) === 0) {
                $records[] = $answer($student, $ts + 1, $slot, 2, false);
            }
        }
        $counts = $i % 8 === 3 ? ['hidden' => mt_rand(1, 6), 'hidden_s' => mt_rand(5, 200)] : [];
        $counts += $i % 31 === 4 ? ['pasted' => mt_rand(1, 3)] : [];
        $records[] = $record($student, 'alive', $last, ['counts' => (object) $counts]);
        if ($i % 400 === 12) {
            $asked = $record($student, 'help', $last - mt_rand(5, 200), ['step' => 'asked', 'by' => $student, 'slot' => 1,
                'text' => 'May I use a calculator for this one?']);
            $records[] = $asked + ['call' => $asked['id']];
        }
        if ($i % 15 === 9) {
            $records[] = $record($student, 'finished', $last, []);
        }
        $put($records);
    }
} else {
    [$rate, $seconds] = [(int) $argv[2], (float) $argv[3]];
    $begin = microtime(true);
    for ($n = 0; ($now = microtime(true)) < $begin + $seconds;) {
        $due = (int) (($now - $begin) * $rate);
        $records = [];
        for (; $n < $due; $n++) {
            $student = $crowd['students'][$n % count($crowd['students'])];
            $records[] = $n % 3
                ? $record($student, 'alive', $now, ['counts' => (object) []])
                : $answer($student, $now, mt_rand(1, $crowd['slots']), $n, mt_rand(0, 9) === 0);
        }
        $put($records);
        usleep(50000);
    }
}
exam_stream_flush(30.0);
echo $total, "\n";
