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

namespace local_examstream\local;

use mod_quiz\quiz_attempt;

/**
 * Which attempt a request is about to load, and what of it to restore first.
 *
 * Besides the attempt's own page these are all that may close an attempt whose time is over: what was not restored
 * by then would not be graded.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class resume_request {
    /** Functions of the web service whose first parameter is an attempt's id. */
    private const BY_ATTEMPT = [
        'mod_quiz_get_attempt_data',
        'mod_quiz_get_attempt_summary',
        'mod_quiz_process_attempt',
        'mod_quiz_save_attempt',
        'mod_quiz_view_attempt',
        'mod_quiz_view_attempt_summary',
    ];

    /** Functions of the web service whose first parameter is a quiz's id. */
    private const BY_QUIZ = ['mod_quiz_get_attempt_access_information', 'mod_quiz_start_attempt'];

    /**
     * Restores what a page of the quiz is going to show or close.
     *
     * @param string $script the page, from Moodle's root.
     */
    public static function for_page(string $script): void {
        if (!isloggedin() || isguestuser()) {
            return;
        }
        switch ($script) {
            case '/mod/quiz/attempt.php':
            case '/mod/quiz/summary.php':
                $attemptid = optional_param('attempt', 0, PARAM_INT);
                capture::restored($attemptid, resume::attempt($attemptid));
                break;

            case '/mod/quiz/processattempt.php':
                // Going on to another page needs nothing: that page restores. Slots that are posted are restored too:
                // the post replaces it, unless Moodle finds that it comes too late.
                if (optional_param('finishattempt', false, PARAM_BOOL) || optional_param('timeup', false, PARAM_BOOL)) {
                    resume::attempt(optional_param('attempt', 0, PARAM_INT));
                }
                break;

            case '/mod/quiz/startattempt.php':
                self::unfinished_of_cm(optional_param('cmid', 0, PARAM_INT));
                break;

            case '/mod/quiz/view.php':
                if ($cmid = optional_param('id', 0, PARAM_INT)) {
                    self::unfinished_of_cm($cmid);
                } else {
                    self::unfinished_of_quiz(optional_param('q', 0, PARAM_INT));
                }
                break;
        }
    }

    /**
     * Restores what a function of the web service is going to read or close.
     *
     * @param string $function
     * @param array $params validated, in the function's order.
     */
    public static function for_function(string $function, array $params): void {
        if (in_array($function, self::BY_ATTEMPT, true)) {
            resume::attempt((int) $params[0]);
        } else if (in_array($function, self::BY_QUIZ, true)) {
            self::unfinished_of_quiz((int) $params[0]);
        }
    }

    /**
     * Restores the current user's unfinished attempt of a quiz.
     *
     * @param int $cmid
     */
    private static function unfinished_of_cm(int $cmid): void {
        global $DB;
        $quizid = $DB->get_field_sql(
            "SELECT cm.instance
               FROM {course_modules} cm
               JOIN {modules} m ON m.id = cm.module AND m.name = 'quiz'
              WHERE cm.id = ?",
            [$cmid]
        );
        self::unfinished_of_quiz((int) $quizid);
    }

    /**
     * Restores the current user's unfinished attempt of a quiz.
     *
     * @param int $quizid
     */
    private static function unfinished_of_quiz(int $quizid): void {
        global $DB, $USER;
        $attempts = $DB->get_fieldset_select(
            'quiz_attempts',
            'id',
            'quiz = ? AND userid = ? AND state IN (?, ?)',
            [$quizid, $USER->id, quiz_attempt::IN_PROGRESS, quiz_attempt::OVERDUE]
        );
        foreach ($attempts as $attempt) {
            capture::restored((int) $attempt, resume::attempt((int) $attempt));
        }
    }
}
