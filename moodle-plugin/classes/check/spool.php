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
 * Has the spool room?
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class spool extends base {
    /** Percent of its limit from which there is reason to look after it, and to do so at once. */
    private const FILLS = [result::WARNING => 50, result::ERROR => 90];

    #[\Override]
    protected function look(backend $backend): result {
        $figures = new figures($backend->stats());
        $percent = $figures->fill();
        if ($percent >= self::FILLS[result::ERROR]) {
            return $this->result(result::ERROR, 'fill', $percent);
        }
        if ($percent >= self::FILLS[result::WARNING]) {
            return $this->result(result::WARNING, 'fill', $percent);
        }
        if ($figures->refused()) {
            return $this->result(result::INFO, 'refused', $figures->refused());
        }
        return $this->result(result::OK, 'fill', $percent);
    }
}
