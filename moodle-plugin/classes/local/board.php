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
 * The live board of a quiz, as one invigilator may see it.
 *
 * Asks the state store alone, so that looking costs the exam nothing. It tells whether questions are answered, changed or
 * flagged; it never tells an answer, nor whether it is right, and leaves previews out.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class board {
    /** Seconds for which a signal stands: a rule that still holds is told again each minute, some two minutes late. */
    private const SIGNAL_STANDS = 5 * MINSECS;

    /**
     * The constructor.
     *
     * @param invigilator $viewer
     * @param board_feed $feed
     */
    public function __construct(
        /** @var invigilator who looks. */
        private readonly invigilator $viewer,
        /** @var board_feed what has changed. */
        private readonly board_feed $feed,
    ) {
    }

    /**
     * What has changed since a version.
     *
     * @param int $since 0: everything.
     * @return array version, more (ask again at once), reset (what was told before no longer holds), now, rows, signals
     * @throws \Throwable when the store cannot be asked in time.
     */
    public function changes(int $since): array {
        $board = $this->feed->read((int) $this->viewer->cm->instance, $since);
        // Whose these were is not known any more: only who had been told of such an attempt learns anything.
        $erased = array_keys($board['rows'], null, true);
        $rows = array_filter($board['rows'], fn($row) => $row && !$row['preview'] && $row['student_id']);
        $seen = $this->viewer->sees(array_map(intval(...), array_column($rows, 'student_id')));
        $rows = array_filter($rows, fn($row) => isset($seen[$row['student_id']]));
        return [
            'version' => $board['version'],
            'more' => $board['more'],
            'reset' => $board['reset'],
            'now' => site::now(),
            'rows' => [
                ...array_map($this->row(...), array_values($rows)),
                ...array_map(fn($attempt) => ['attempt' => $attempt, 'erased' => true], $erased),
            ],
            // What is said of the whole quiz is said of students of other groups, too.
            'signals' => (object) ($this->viewer->groups === null ? $board['signals'] : []),
        ];
    }

    /**
     * All rows there are now.
     *
     * @return array[] attempt => row
     */
    public function rows(): array {
        $rows = [];
        $version = 0;
        do {
            $changes = $this->changes($version);
            $version = $changes['version'];
            $rows = ($changes['reset'] ? [] : $rows);
            foreach ($changes['rows'] as $row) {
                $rows[$row['attempt']] = $row;
            }
        } while ($changes['more']);
        return array_filter($rows, fn($row) => empty($row['erased']));
    }

    /**
     * What the board tells of an attempt.
     *
     * @param array $row as the store has it.
     * @return array
     */
    private function row(array $row): array {
        $state = $row['lifecycle']['type'] ?? null;
        $signals = $this->viewer->signals($row['signals'], $state);
        if (!invigilator::has_ended($state)) {
            // A student who is here sends signs of life, and with each the row is told anew.
            $past = site::now() - self::SIGNAL_STANDS;
            $signals = array_filter($signals, fn($signal) => $signal['at'] > $past);
        }
        return [
            'attempt' => $row['attempt'],
            'student' => $row['student_id'],
            'word' => substr($row['word'], 1),
            'flags' => ltrim($row['flags'], 's'),
            'answered' => $row['answered'],
            'slots' => $row['slots'],
            'state' => $row['lifecycle']['type'] ?? '',
            'statesince' => $row['lifecycle']['ts'] ?? null,
            'seen' => $row['last_seen'],
            'edited' => $row['times'] ? max($row['times']) : null,
            'counts' => (object) $row['counts'],
            'help' => (object) $row['help'],
            'signals' => (object) $signals,
            'sametime' => $row['devices_at_once'],
            'addresses' => $row['addresses'],
            'agents' => $row['agents'],
        ];
    }
}
