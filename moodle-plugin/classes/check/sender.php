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
use local_examstream\local\figures;

/**
 * Are records delivered?
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class sender extends base {
    /** An age of the oldest undelivered record, in seconds, that says that something is held up; and that nothing moves. */
    private const AGES = [result::WARNING => 60, result::ERROR => 300];

    #[\Override]
    protected function look(backend $backend): result {
        $figures = new figures($backend->stats());
        $details = (string) $figures->last_error();
        $age = $figures->oldest_undelivered();
        if ($age >= self::AGES[result::ERROR]) {
            return $this->result(result::ERROR, 'old', format_time((int) $age), $details);
        }
        if ($figures->pending() && !$figures->has_sender()) {
            return $this->result(result::ERROR, 'missing', $figures->pending(), $details);
        }
        if ($age >= self::AGES[result::WARNING]) {
            return $this->result(result::WARNING, 'old', format_time((int) $age), $details);
        }
        if ($figures->quarantined()) {
            return $this->result(result::WARNING, 'quarantined', $figures->quarantined(), $details);
        }
        return $this->result(result::OK, 'ok', $figures->delivered());
    }
}
