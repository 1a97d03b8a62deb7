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

namespace local_examstream\local;

/**
 * The live board as a table, for Moodle's data formats: a row for each student whom the viewer may see.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class board_table {
    /** @var array[] students by user id, in the order of their names. */
    private readonly array $students;

    /** @var array[] the latest attempt of each student. */
    private array $rows = [];

    /** @var int questions of the longest attempt. */
    private int $slots = 0;

    /** @var float the time of the table. */
    private readonly float $now;

    /**
     * The constructor.
     *
     * @param roster $roster
     * @param board $board
     */
    public function __construct(
        /** @var roster the students. */
        private readonly roster $roster,
        board $board,
    ) {
        $this->now = site::now();
        foreach ($board->rows() as $row) {
            if ($row['attempt'] > ($this->rows[$row['student']]['attempt'] ?? 0)) {
                $this->rows[$row['student']] = $row;
                $this->slots = max($this->slots, $row['slots']);
            }
        }
        $students = $roster->students();
        foreach (array_chunk(array_diff(array_keys($this->rows), array_keys($students)), roster::MAX_IDS) as $ids) {
            $students += $roster->students($ids);
        }
        \core_collator::asort_array_of_arrays_by_key($students, 'name');
        $this->students = $students;
    }

    /**
     * The columns.
     *
     * @return string[] key => heading
     */
    public function columns(): array {
        $columns = ['name' => get_string('fullnameuser')] + $this->roster->identity_headings();
        foreach (['status', 'seen', 'answered', 'slots', 'edited'] as $name) {
            $columns[$name] = get_string("board_column_$name", 'local_examstream');
        }
        for ($slot = 1; $slot <= $this->slots; $slot++) {
            $columns["slot$slot"] = get_string('board_question', 'local_examstream', $slot);
        }
        return $columns + [
            'signals' => get_string('board_column_signals', 'local_examstream'),
            'help' => get_string('board_column_help', 'local_examstream'),
        ];
    }

    /**
     * The rows.
     *
     * @return \Generator
     */
    public function rows(): \Generator {
        $identity = array_keys($this->roster->identity_headings());
        foreach ($this->students as $id => $student) {
            $row = $this->rows[$id] ?? null;
            yield ['name' => $student['name']] + array_combine($identity, $student['identity']) + [
                'status' => get_string('board_status_' . presence::of($row, $this->now), 'local_examstream'),
                'seen' => self::time($row['seen'] ?? null),
                'answered' => $row['answered'] ?? 0,
                'slots' => $row['slots'] ?? '',
                'edited' => self::time($row['edited'] ?? null),
            ] + $this->questions($row) + ['signals' => self::signals($row), 'help' => self::help($row)];
        }
    }

    /**
     * How it is with each question.
     *
     * @param array|null $row
     * @return string[]
     */
    private function questions(?array $row): array {
        $cells = [];
        for ($slot = 1; $slot <= $this->slots; $slot++) {
            $digit = $row['word'][$slot - 1] ?? ($row && $slot <= $row['slots'] ? '0' : '');
            $cell = $digit === '' ? '' : get_string("board_answer_$digit", 'local_examstream');
            if (($row['flags'][$slot - 1] ?? '0') === '1') {
                $cell .= ', ' . get_string('board_flagged', 'local_examstream');
            }
            $cells["slot$slot"] = $cell;
        }
        return $cells;
    }

    /**
     * The signals of an attempt.
     *
     * @param array|null $row
     * @return string
     */
    private static function signals(?array $row): string {
        $signals = [];
        foreach ($row['counts'] ?? [] as $name => $count) {
            if ($count) {
                $signals[] = "$name: $count";
            }
        }
        if (!empty($row['sametime'])) {
            $signals[] = get_string('board_sametime', 'local_examstream');
        }
        foreach (['addresses', 'agents'] as $name) {
            if (($row[$name] ?? 0) > 1) {
                $signals[] = get_string("board_$name", 'local_examstream', $row[$name]);
            }
        }
        return implode('; ', [...$signals, ...array_keys((array) ($row['signals'] ?? []))]);
    }

    /**
     * The calls for help of an attempt.
     *
     * @param array|null $row
     * @return string
     */
    private static function help(?array $row): string {
        $calls = [];
        foreach ($row['help'] ?? [] as $steps) {
            if (isset($steps['asked'])) {
                $step = get_string('helpqueue_' . self::latest($steps), 'local_examstream');
                $calls[] = self::time($steps['asked']['ts']) . " $step";
            }
        }
        return implode('; ', $calls);
    }

    /**
     * How far a call has come.
     *
     * @param array[] $steps
     * @return string
     */
    private static function latest(array $steps): string {
        foreach (['closed', 'answered', 'taken'] as $step) {
            if (isset($steps[$step])) {
                return $step;
            }
        }
        return 'asked';
    }

    /**
     * A time in the viewer's zone and format.
     *
     * @param float|null $time
     * @return string
     */
    private static function time(?float $time): string {
        return $time ? userdate((int) $time, get_string('strftimedatetimeshortaccurate', 'langconfig')) : '';
    }
}
