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

/**
 * Callbacks that Moodle looks for by name.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

use local_examstream\local\backend;
use local_examstream\local\quiz_form;
use local_examstream\local\resume_request;
use local_examstream\local\site;

/**
 * Restores answers before a function of the web service loads an attempt: the app must not close it without them.
 *
 * @param \stdClass $function the external function.
 * @param array $params validated, in the function's order.
 * @return bool false: the function itself goes on.
 */
function local_examstream_override_webservice_execution($function, $params) {
    try {
        resume_request::for_function($function->name, $params);
    } catch (\Throwable $e) {
        site::note('restoring the attempt', $e);
    }
    return false;
}

/**
 * Adds the live board to the navigation of a quiz that streams its answers.
 *
 * @param settings_navigation $navigation
 * @param context|null $context
 */
function local_examstream_extend_settings_navigation(settings_navigation $navigation, ?context $context) {
    $cm = $navigation->get_page()->cm;
    $settings = $navigation->find('modulesettings', navigation_node::TYPE_SETTING);
    if (!$settings || $cm?->modname !== 'quiz' || !has_capability('local/examstream:viewboard', $cm->context)) {
        return;
    }
    try {
        if (\core\di::get(backend::class)->is_available() && site::is_quiz_enabled((int) $cm->instance)) {
            $settings->add(
                get_string('board', 'local_examstream'),
                new moodle_url('/local/examstream/board.php', ['cmid' => $cm->id]),
                navigation_node::TYPE_SETTING,
                null,
                'local_examstream_board',
                new pix_icon('i/groupevent', '')
            );
        }
    } catch (\Throwable $e) {
        site::note('linking the live board', $e);
    }
}

/**
 * Adds our section to the form of a quiz.
 *
 * @param \moodleform_mod $form
 * @param \MoodleQuickForm $mform
 */
function local_examstream_coursemodule_standard_elements($form, $mform) {
    quiz_form::extend($form, $mform);
}

/**
 * Saves our section of the form of a quiz.
 *
 * @param \stdClass $data
 * @param \stdClass $course
 * @return \stdClass
 */
function local_examstream_coursemodule_edit_post_actions($data, $course) {
    quiz_form::save($data);
    return $data;
}

/**
 * Our checks in the status report.
 *
 * @return \core\check\check[]
 */
function local_examstream_status_checks(): array {
    return [
        new \local_examstream\check\extension(),
        new \local_examstream\check\door(),
        new \local_examstream\check\sender(),
        new \local_examstream\check\spool(),
        new \local_examstream\check\state_store(),
        new \local_examstream\check\clock(),
    ];
}
