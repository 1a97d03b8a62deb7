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

use local_examstream\local\backend;
use local_examstream\local\late_answers;
use local_examstream\local\site;

/**
 * Brings the streamed answers into an attempt that the clock has closed; runs as its student.
 *
 * A state store that is down makes it fail, and Moodle runs it again later.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class bring_in_late_answers extends \core\task\adhoc_task {
    /**
     * Queues the task.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     */
    public static function queue(\stdClass $attempt): void {
        if ($attempt->preview || !site::is_quiz_enabled((int) $attempt->quiz)) {
            return;
        }
        $task = new self();
        $task->set_component('local_examstream');
        $task->set_userid((int) $attempt->userid);
        $task->set_custom_data(['attempt' => (int) $attempt->id]);
        \core\task\manager::queue_adhoc_task($task, true);
    }

    #[\Override]
    public function get_name(): string {
        return get_string('task_bring_in_late_answers', 'local_examstream');
    }

    #[\Override]
    public function execute(): void {
        global $CFG, $DB;
        require_once($CFG->dirroot . '/mod/quiz/locallib.php');
        $attempt = $DB->get_record('quiz_attempts', ['id' => $this->get_custom_data()->attempt]);
        $backend = \core\di::get(backend::class);
        if (!$attempt || !$backend->is_available()) {
            return;
        }
        $slots = late_answers::bring_in($attempt, $backend->state(site::id(), (int) $attempt->id));
        mtrace("  Attempt {$attempt->id}: " . count($slots) . ' answers brought in.');
    }
}
