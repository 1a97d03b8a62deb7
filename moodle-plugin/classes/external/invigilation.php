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

namespace local_examstream\external;

use core_external\external_api;
use local_examstream\local\invigilator;

/**
 * What the functions of the live board have in common: they give the session free at once, so that nobody waits for
 * them, and ask no table of the quiz to find out who asks.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
abstract class invigilation extends external_api {
    /**
     * Checks who asks.
     *
     * @param int $cmid
     * @param string $capability
     * @return invigilator
     */
    protected static function invigilator(int $cmid, string $capability): invigilator {
        global $USER;
        [$course, $cm] = get_course_and_cm_from_cmid($cmid, 'quiz');
        // For the context of a module, core reads the quiz's name from its table. What it checks besides is checked here.
        self::validate_context(\context_course::instance($course->id));
        if (!$cm->uservisible) {
            throw new \require_login_exception('Activity is hidden');
        }
        require_capability($capability, $cm->context);
        return new invigilator($cm, (int) $USER->id);
    }
}
