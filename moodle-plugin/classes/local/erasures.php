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
 * Attempts that may be in the stream, and their erasure from it.
 *
 * Attempts are deleted in many ways, and some of them (a course that is reset, a quiz or a user's data that is deleted) tell
 * nobody. So each attempt is noted here when it begins, in the same transaction, and is due once Moodle has it no more or
 * its erasure was requested. What is due is told to the stream as a record of the type `erased`, and forgotten here when the
 * spool has accepted that: whatever fails before leaves it for the next time, and what is told twice changes nothing.
 *
 * The stream's state keeps nothing of the attempt from then on, whatever comes late. Where its records are stored,
 * `exam-stream erase --requested` takes them away. No student is named here, only attempts. A copy of the site under another
 * id erases nothing of the original's.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class erasures {
    /** The table. */
    private const TABLE = 'local_examstream_attempt';

    /** Records that are handed over at once. */
    private const BATCH = 500;

    /**
     * Attempts may be in the stream.
     *
     * @param string $where of quiz_attempts a
     * @param array $params
     */
    public static function note(string $where, array $params): void {
        global $DB;
        $DB->execute(
            "INSERT INTO {" . self::TABLE . "} (site, attempt, quiz)
             SELECT :site, a.id, a.quiz
               FROM {quiz_attempts} a
              WHERE $where
                AND NOT EXISTS (SELECT 1 FROM {" . self::TABLE . "} e WHERE e.site = :samesite AND e.attempt = a.id)",
            ['site' => site::id(), 'samesite' => site::id()] + $params
        );
    }

    /**
     * Attempts are to be erased, whether Moodle keeps them or not.
     *
     * @param string $where of quiz_attempts a
     * @param array $params
     */
    public static function request(string $where, array $params): void {
        global $DB;
        self::note($where, $params);
        $DB->set_field_select(
            self::TABLE,
            'timerequested',
            \core\di::get(\core\clock::class)->time(),
            "site = :site AND timerequested IS NULL AND attempt IN (SELECT a.id FROM {quiz_attempts} a WHERE $where)",
            ['site' => site::id()] + $params
        );
    }

    /**
     * Requests the erasure of what Moodle has deleted.
     */
    public static function request_deleted(): void {
        global $DB;
        $DB->set_field_select(
            self::TABLE,
            'timerequested',
            \core\di::get(\core\clock::class)->time(),
            'site = :site AND timerequested IS NULL
             AND NOT EXISTS (SELECT 1 FROM {quiz_attempts} a WHERE a.id = {' . self::TABLE . '}.attempt)',
            ['site' => site::id()]
        );
    }

    /**
     * Tells the stream of what is due, the oldest first.
     *
     * @return int how many it accepted.
     */
    public static function send(): int {
        global $DB;
        $backend = \core\di::get(backend::class);
        $told = 0;
        if (!$backend->is_available()) {
            return $told;
        }
        do {
            $due = $DB->get_records_select(
                self::TABLE,
                'site = :site AND timerequested IS NOT NULL',
                ['site' => site::id()],
                'id',
                'id, site, attempt, quiz',
                0,
                self::BATCH
            );
            foreach ($due as $erasure) {
                // A page of it may still be open.
                closed::mark((int) $erasure->attempt);
            }
            $accepted = $due ? $backend->put(array_values(array_map(self::record(...), $due))) : 0;
            $DB->delete_records_list(self::TABLE, 'id', array_slice(array_keys($due), 0, $accepted));
            $told += $accepted;
        } while ($accepted === self::BATCH);
        return $told;
    }

    /**
     * The record that erases an attempt. It says nothing of the student.
     *
     * @param \stdClass $erasure
     * @return string
     */
    private static function record(\stdClass $erasure): string {
        return envelope::encode([
            'v' => 1,
            'id' => "$erasure->attempt-erased",
            'type' => 'erased',
            'ts' => round(site::now(), 6),
            'site' => $erasure->site,
            'quiz' => (int) $erasure->quiz,
            'attempt' => (int) $erasure->attempt,
        ]);
    }
}
