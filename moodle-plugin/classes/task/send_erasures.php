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

namespace local_examstream\task;

use local_examstream\local\erasures;

/**
 * Tells the stream which attempts are to be erased from it.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class send_erasures extends \core\task\scheduled_task {
    #[\Override]
    public function get_name(): string {
        return get_string('task_send_erasures', 'local_examstream');
    }

    #[\Override]
    public function execute(): void {
        erasures::request_deleted();
        $told = erasures::send();
        if ($told) {
            mtrace("... told the stream to erase $told attempts");
        }
    }
}
