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
 * Whether a student's page is heard: it gives a sign of life each so many seconds, unless it has sent an answer.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class presence {
    /** Signs of life that may be missing until a student counts as gone. */
    private const MISSED = 2;

    /** Seconds a sign of life may be under way. */
    private const UNDER_WAY = 2;

    /**
     * Seconds of silence from which a student is not here.
     *
     * @return int[] away and gone.
     */
    public static function limits(): array {
        $interval = (int) site::setting('aliveseconds');
        return ['away' => $interval + self::UNDER_WAY, 'gone' => self::MISSED * $interval + self::UNDER_WAY];
    }

    /**
     * How it is with an attempt.
     *
     * @param array|null $row of the board; null: there is no attempt.
     * @param float $now
     * @return string notstarted, here, away or gone; or how the attempt ended: finished, overdue or abandoned.
     */
    public static function of(?array $row, float $now): string {
        if ($row === null) {
            return 'notstarted';
        }
        if (in_array($row['state'], ['finished', 'overdue', 'abandoned'], true)) {
            return $row['state'];
        }
        ['away' => $away, 'gone' => $gone] = self::limits();
        $silent = $now - $row['seen'];
        return $silent > $gone ? 'gone' : ($silent > $away ? 'away' : 'here');
    }
}
