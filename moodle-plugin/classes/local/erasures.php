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
 * Attempts that were deleted in Moodle, or are to be, and may still be in the stream.
 *
 * This plugin writes to the stream and reads its state; it cannot delete from either. The state store forgets an attempt
 * by itself, and what is stored for analysis is the operator's: cli/erasures.php tells what is to be erased there. No
 * student is named here, only attempts.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class erasures {
    /** The table. */
    private const TABLE = 'local_examstream_erasure';

    /**
     * Attempts are to be erased.
     *
     * @param string $where of quiz_attempts a
     * @param array $params
     */
    public static function request(string $where, array $params): void {
        global $DB;
        $DB->execute(
            "INSERT INTO {" . self::TABLE . "} (site, attempt, timecreated)
             SELECT :site, a.id, " . \core\di::get(\core\clock::class)->time() . "
               FROM {quiz_attempts} a
              WHERE $where
                AND NOT EXISTS (SELECT 1 FROM {" . self::TABLE . "} e WHERE e.site = :samesite AND e.attempt = a.id)",
            ['site' => site::id(), 'samesite' => site::id()] + $params
        );
    }

    /**
     * An attempt is deleted already.
     *
     * @param int $attempt
     */
    public static function request_deleted(int $attempt): void {
        global $DB;
        $erasure = ['site' => site::id(), 'attempt' => $attempt];
        if (!$DB->record_exists(self::TABLE, $erasure)) {
            $DB->insert_record(self::TABLE, $erasure + ['timecreated' => \core\di::get(\core\clock::class)->time()]);
        }
    }

    /**
     * What is to be erased, the oldest first.
     *
     * @return \moodle_recordset of site, attempt, timecreated
     */
    public static function pending(): \moodle_recordset {
        global $DB;
        return $DB->get_recordset(self::TABLE, null, 'id', 'id, site, attempt, timecreated');
    }

    /**
     * An attempt was erased.
     *
     * @param string $site
     * @param int $attempt
     */
    public static function done(string $site, int $attempt): void {
        global $DB;
        $DB->delete_records(self::TABLE, ['site' => $site, 'attempt' => $attempt]);
    }
}
