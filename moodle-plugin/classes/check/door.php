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
use local_examstream\local\door as door_itself;
use local_examstream\local\site;

/**
 * Can the door read what it needs, and only the door?
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class door extends base {
    #[\Override]
    protected function look(backend $backend): result {
        global $CFG;
        if (!site::setting('enabled')) {
            return $this->result(result::WARNING, 'disabled');
        }
        if (site::setting('mode') === 'ws') {
            return $this->result(result::OK, 'ws');
        }
        $file = door_itself::directory($CFG->dataroot) . '/door.php';
        $door = door_itself::read($CFG->dataroot);
        if ($door === null) {
            return $this->result(result::WARNING, 'missing', $file);
        }
        if (!$door['open'] || $door['site'] !== site::id()) {
            return $this->result(result::ERROR, 'outdated', $file);
        }
        if (fileperms($file) & 0077) {
            return $this->result(result::ERROR, 'readable', $file);
        }
        return $this->result(result::OK, 'ok');
    }
}
