<?php
// This file is part of Moodle - https://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <https://www.gnu.org/licenses/>.

namespace local_examstream\output;

use core\output\renderable;
use core\output\renderer_base;
use core\output\templatable;
use local_examstream\local\presence;
use local_examstream\local\roster;
use local_examstream\local\site;

/**
 * The story of one attempt: what the state store knows of it, in the order in which it happened.
 *
 * It tells evidence from hints, and says what it cannot know: the store keeps the latest answer of each question and totals
 * of signals, not the way there. No answer is shown, nor whether it is right.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class story_page implements renderable, templatable {
    /** Lanes of the picture, and whether what they show is evidence. */
    private const LANES = [
        'life' => true, 'answers' => true, 'help' => true, 'devices' => false, 'signals' => false, 'silence' => false,
    ];

    /** Seconds after an edit at which it should have reached the server; later, there was no connection. */
    private const LATE = 5;

    /** Where the times are written below the picture, in percent. */
    private const TICKS = [0, 25, 50, 75, 100];

    /** @var float the first moment of the picture. */
    private float $start;

    /** @var float its last. */
    private float $end;

    /** @var array[] marks by lane: from, to, class, text, title. */
    private array $marks = [];

    /** @var array[] lines of the table: time, lane, what, details. */
    private array $lines = [];

    /** @var float the time of the page. */
    private readonly float $now;

    /**
     * The constructor.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @param array $state what the store has of it.
     * @param string[] $questions slot => name.
     * @param string $student their name.
     * @param roster $roster to name colleagues.
     */
    public function __construct(
        /** @var \stdClass the row of quiz_attempts. */
        private readonly \stdClass $attempt,
        /** @var array what the store has of it. */
        private readonly array $state,
        /** @var string[] slot => name. */
        private readonly array $questions,
        /** @var string the student's name. */
        private readonly string $student,
        /** @var roster names of colleagues. */
        private readonly roster $roster,
    ) {
        $this->now = site::now();
    }

    #[\Override]
    public function export_for_template(renderer_base $output): array {
        $this->life();
        $this->answers();
        $this->help();
        $this->devices();
        $this->signals();
        $this->silence();
        $this->start = min(array_column($this->lines, 'time'));
        $this->end = max($this->start + 1, ...array_map(fn($mark) => $mark['to'], array_merge(...array_values($this->marks))));
        usort($this->lines, fn($a, $b) => $a['time'] <=> $b['time']);
        $this->start = floor($this->start);

        $lanes = [];
        foreach (self::LANES as $lane => $evidence) {
            if (!empty($this->marks[$lane])) {
                $lanes[] = [
                    'name' => $lane,
                    'label' => get_string("story_lane_$lane", 'local_examstream'),
                    'evidence' => $evidence,
                    'marks' => array_map($this->place(...), $this->marks[$lane]),
                ];
            }
        }
        $clock = self::clock($this->end - $this->start < 10 * MINSECS);
        return [
            'student' => $this->student,
            'number' => $this->attempt->attempt,
            'lanes' => $lanes,
            'ticks' => array_map(fn($percent) => [
                'left' => $percent,
                'label' => userdate((int) ($this->start + ($this->end - $this->start) * $percent / 100), $clock),
            ], self::TICKS),
            'lines' => array_map(fn($line) => [
                'time' => userdate((int) $line['time'], get_string('strftimedatetimeshortaccurate', 'langconfig')),
                'iso' => gmdate('c', (int) $line['time']),
                'what' => $line['what'],
                'details' => $line['details'],
                'evidence' => self::LANES[$line['lane']],
            ], $this->lines),
            'totals' => $this->totals(),
        ];
    }

    /**
     * Beginning and end, as Moodle and the stream know them.
     */
    private function life(): void {
        $this->add('life', (float) $this->attempt->timestart, get_string('story_started', 'local_examstream'));
        $last = $this->state['lifecycle'];
        if ($last !== null && $last['type'] !== 'started') {
            $this->add('life', $last['ts'], get_string("story_$last[type]", 'local_examstream'));
        }
    }

    /**
     * The latest answer of each question.
     */
    private function answers(): void {
        foreach ($this->state['slots'] as $slot => $answer) {
            $details = [get_string('board_answer_' . ($answer['status'] ? ($answer['changed'] ? 2 : 1) : 0), 'local_examstream')];
            if ($answer['flagged']) {
                $details[] = get_string('board_flagged', 'local_examstream');
            }
            $late = $answer['ts'] - $answer['at'] > self::LATE;
            if ($late) {
                $details[] = get_string('story_late', 'local_examstream', format_time((int) ($answer['ts'] - $answer['at'])));
            }
            $what = get_string('story_answer', 'local_examstream', ['slot' => $slot, 'name' => $this->questions[$slot] ?? '']);
            $this->add('answers', $answer['at'], $what, implode(', ', $details), $late ? $answer['ts'] : null, (string) $slot);
        }
    }

    /**
     * Calls for help and what was done about them.
     */
    private function help(): void {
        $by = array_merge(...array_map(fn($steps) => array_column($steps, 'by'), array_values($this->state['help'])));
        $names = $this->roster->colleagues(array_unique($by));
        foreach ($this->state['help'] as $steps) {
            foreach (array_intersect_key($steps, array_flip(['asked', 'taken', 'answered', 'closed'])) as $step => $done) {
                $name = $names[$done['by'] ?? 0] ?? get_string('helpqueue_colleague', 'local_examstream');
                $what = get_string("story_help_$step", 'local_examstream', $name);
                $this->add('help', $done['ts'], $what, (string) ($done['text'] ?? ''));
            }
        }
    }

    /**
     * The devices, from their first record to their last.
     */
    private function devices(): void {
        $number = [];
        foreach ($this->state['devices'] as $device) {
            $number[$device['device']] ??= count($number) + 1;
            $details = [get_string('story_device_until', 'local_examstream', userdate((int) $device['last'], self::clock(true)))];
            foreach (['address', 'agent'] as $name) {
                if (!empty($device[$name])) {
                    // Enough to tell two apart; the whole is a keyed hash and says no more.
                    $details[] = get_string("story_device_$name", 'local_examstream', substr($device[$name], 0, 4));
                }
            }
            $this->add(
                'devices',
                $device['first'],
                get_string('story_device', 'local_examstream', $number[$device['device']]),
                implode(', ', $details),
                $device['last'],
                (string) $number[$device['device']]
            );
        }
    }

    /**
     * What queries found.
     */
    private function signals(): void {
        foreach ($this->state['signals'] as $name => $signal) {
            $columns = [];
            foreach ($signal['row'] ?? [] as $column => $value) {
                $columns[] = "$column: " . (is_scalar($value) ? $value : json_encode($value));
            }
            $this->add('signals', $signal['at'], get_string('story_signal', 'local_examstream', $name), implode(', ', $columns));
        }
    }

    /**
     * The silence since the last record, while nobody has ended the attempt.
     */
    private function silence(): void {
        $row = ['state' => $this->state['lifecycle']['type'] ?? '', 'seen' => $this->state['last_seen']];
        if ($row['seen'] !== null && in_array(presence::of($row, $this->now), ['away', 'gone'], true)) {
            $this->add(
                'silence',
                $row['seen'],
                get_string('story_silence', 'local_examstream'),
                get_string('story_silence_details', 'local_examstream', format_time((int) ($this->now - $row['seen']))),
                $this->now
            );
        }
    }

    /**
     * Totals, of which the store does not know when they came about.
     *
     * @return array[]
     */
    private function totals(): array {
        $totals = [];
        $strings = get_string_manager();
        foreach (array_filter($this->state['counts']) as $name => $count) {
            $known = $strings->string_exists("story_total_$name", 'local_examstream');
            $totals[] = [
                'name' => $known ? get_string("story_total_$name", 'local_examstream') : $name,
                'value' => str_ends_with($name, '_s') ? format_time($count) : $count,
            ];
        }
        if ($this->state['devices_at_once']) {
            $totals[] = ['name' => get_string('board_sametime', 'local_examstream'), 'value' => get_string('yes')];
        }
        return $totals;
    }

    /**
     * Adds something that happened.
     *
     * @param string $lane
     * @param float $time
     * @param string $what
     * @param string $details
     * @param float|null $until null: it is a moment.
     * @param string $text in the mark itself.
     */
    private function add(
        string $lane,
        float $time,
        string $what,
        string $details = '',
        ?float $until = null,
        string $text = '',
    ): void {
        $this->lines[] = ['time' => $time, 'lane' => $lane, 'what' => $what, 'details' => $details];
        $this->marks[$lane][] = [
            'from' => $time,
            'to' => $until ?? $time,
            'span' => $until !== null,
            'text' => $text,
            'title' => userdate((int) $time, self::clock(true)) . ' ' . $what,
        ];
    }

    /**
     * Where a mark is drawn.
     *
     * @param array $mark
     * @return array
     */
    private function place(array $mark): array {
        $percent = fn($time) => 100 * min(1, max(0, ($time - $this->start) / ($this->end - $this->start)));
        return [
            'left' => sprintf('%.2F', $percent($mark['from'])),
            'width' => sprintf('%.2F', $percent($mark['to']) - $percent($mark['from'])),
            'span' => $mark['span'],
            'text' => $mark['text'],
            'title' => $mark['title'],
        ];
    }

    /**
     * How times of day are written.
     *
     * @param bool $seconds
     * @return string
     */
    private static function clock(bool $seconds): string {
        $format = get_string('strftimetime', 'langconfig');
        return $seconds ? str_replace('%M', '%M:%S', $format) : $format;
    }
}
