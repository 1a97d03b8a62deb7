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
use local_examstream\local\site;

/**
 * Can answers be read back?
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class state_store extends base {
    /** An age of the oldest record that is not in the store, in seconds, at which students meet old answers. */
    private const OLD = 30;

    #[\Override]
    protected function look(backend $backend): result {
        $start = microtime(true);
        try {
            // No attempt has this id: the reply is that there is none.
            $backend->state(site::id(), 0);
        } catch (\Throwable $e) {
            return $this->result(result::ERROR, 'down', null, $e->getMessage());
        }
        $figures = new figures($backend->stats());
        if ($figures->oldest_unfolded() >= self::OLD) {
            $age = format_time((int) $figures->oldest_unfolded());
            return $this->result(result::ERROR, 'old', $age, (string) $figures->fold_hold());
        }
        return $this->result(result::OK, 'ok', round((microtime(true) - $start) * 1000, 1));
    }
}
