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

namespace local_examstream;

use local_examstream\local\capture;
use local_examstream\local\site;

/**
 * Observers of the quiz's events. Nothing of ours may break a page: each of them ends in a log line at worst.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class observer {
    /**
     * Moodle has let the student see the attempt.
     *
     * @param \mod_quiz\event\attempt_viewed $event
     */
    public static function attempt_viewed(\mod_quiz\event\attempt_viewed $event): void {
        try {
            capture::viewed($event->get_record_snapshot('quiz_attempts', $event->objectid));
        } catch (\Throwable $e) {
            site::note('noticing the viewed attempt', $e);
        }
    }
}
