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
use core_external\external_function_parameters;
use core_external\external_single_structure;
use core_external\external_value;
use local_examstream\local\attempts;
use local_examstream\local\backend;
use local_examstream\local\door;
use local_examstream\local\keys;
use local_examstream\local\site;
use local_examstream\local\switches;
use mod_quiz\quiz_attempt;

/**
 * The door with Moodle's own checks: login, sesskey, context, ownership. For sites that want no other.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class put extends external_api {
    /**
     * Parameters.
     *
     * @return external_function_parameters
     */
    public static function execute_parameters(): external_function_parameters {
        return new external_function_parameters([
            'attempt' => new external_value(PARAM_INT, 'The id of the quiz attempt'),
            'body' => new external_value(PARAM_RAW, 'What would be posted to put.php, as JSON; a token in it is not looked at'),
        ]);
    }

    /**
     * Hands over the records of a page.
     *
     * @param int $attempt
     * @param string $body
     * @return array
     */
    public static function execute(int $attempt, string $body): array {
        ['attempt' => $attemptid, 'body' => $body] = self::validate_parameters(
            self::execute_parameters(),
            ['attempt' => $attempt, 'body' => $body]
        );
        [$status, $reply] = self::reply($attemptid, $body);
        return ['status' => $status, 'json' => door::encode($reply)];
    }

    /**
     * What it returns: refusals are no exceptions, so that the script meets the same in both doors.
     *
     * @return external_single_structure
     */
    public static function execute_returns(): external_single_structure {
        return new external_single_structure([
            'status' => new external_value(PARAM_INT, 'The HTTP status that put.php would reply with'),
            'json' => new external_value(PARAM_RAW, 'The body that put.php would reply with'),
        ]);
    }

    /**
     * Checks who asks, then does what the other door does.
     *
     * @param int $attemptid
     * @param string $body
     * @return array [HTTP status, body]
     */
    private static function reply(int $attemptid, string $body): array {
        global $CFG, $DB, $USER;
        $now = site::now();
        $attempt = $DB->get_record('quiz_attempts', ['id' => $attemptid], '*', MUST_EXIST);
        [, $cm] = get_course_and_cm_from_instance($attempt->quiz, 'quiz');
        $context = \context_module::instance($cm->id);
        self::validate_context($context);
        if ((int) $attempt->userid !== (int) $USER->id) {
            return [403, ['error' => 'token']];
        }
        require_capability($attempt->preview ? 'mod/quiz:preview' : 'mod/quiz:attempt', $context);

        $backend = \core\di::get(backend::class);
        if (!$backend->is_available() || !site::is_quiz_enabled((int) $attempt->quiz)) {
            return [503, ['error' => 'unavailable', 'saved' => 0]];
        }
        if ($attempt->state !== quiz_attempt::IN_PROGRESS) {
            return [410, ['error' => 'finished']];
        }
        $slots = array_map(fn($question) => $question['qa'], attempts::questions($attempt));
        $grant = attempts::grant($attempt, $slots, $now, switches::of_quiz((int) $attempt->quiz));
        return door::reply($CFG->dataroot, $body, $now, $backend, $_SERVER, keys::sign($grant));
    }
}
