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

namespace local_examstream\check;

use core\check\result;
use local_examstream\local\backend;

/**
 * Does this web server's clock agree with the database's, the one clock that all web servers see?
 *
 * Edits on two devices are ordered by the clocks of the servers that made their pages.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class clock extends base {
    /** Seconds of difference that may turn the order of two edits round, and that let the door refuse pages. */
    private const SKEWS = [result::WARNING => 1.0, result::ERROR => 4.0];

    #[\Override]
    protected function look(backend $backend): result {
        global $DB;
        $sql = match ($DB->get_dbfamily()) {
            'mysql' => 'SELECT UNIX_TIMESTAMP(NOW(6))',
            'postgres' => 'SELECT EXTRACT(EPOCH FROM CLOCK_TIMESTAMP())',
            default => null,
        };
        if ($sql === null) {
            return $this->result(result::NA, 'unknown');
        }
        $before = microtime(true);
        $theirs = (float) $DB->get_field_sql($sql);
        $skew = round(abs($theirs - ($before + microtime(true)) / 2), 2);
        $status = $skew >= self::SKEWS[result::ERROR] ? result::ERROR
            : ($skew >= self::SKEWS[result::WARNING] ? result::WARNING : result::OK);
        return $this->result($status, 'skew', $skew);
    }
}
