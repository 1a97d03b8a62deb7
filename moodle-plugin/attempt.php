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
 * The story of one attempt.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

use local_examstream\event\story_viewed;
use local_examstream\local\backend;
use local_examstream\local\invigilator;
use local_examstream\local\resume;
use local_examstream\local\roster;
use local_examstream\local\site;
use local_examstream\output\story_page;

require(__DIR__ . '/../../config.php');

$attemptid = required_param('attempt', PARAM_INT);
require_login(null, false);

$attempt = $DB->get_record('quiz_attempts', ['id' => $attemptid], '*', MUST_EXIST);
[$course, $cm] = get_course_and_cm_from_instance($attempt->quiz, 'quiz');
require_login($course, false, $cm);
$context = context_module::instance($cm->id);
require_capability('local/examstream:viewstory', $context);

$viewer = new invigilator($cm, (int) $USER->id);
$board = new moodle_url('/local/examstream/board.php', ['cmid' => $cm->id]);
if ($attempt->preview || !$viewer->sees([(int) $attempt->userid])) {
    throw new moodle_exception('story_notyours', 'local_examstream', $board);
}

$roster = new roster($viewer);
$student = $roster->name(core_user::get_user($attempt->userid, '*', MUST_EXIST));
$title = get_string('story', 'local_examstream', $attempt->attempt) . ': ' . $student;

$PAGE->set_url(new moodle_url('/local/examstream/attempt.php', ['attempt' => $attempt->id]));
$PAGE->set_pagelayout('report');
$PAGE->set_title($title);
$PAGE->set_heading($course->fullname);
$PAGE->set_secondary_active_tab('local_examstream_board');
$PAGE->activityheader->disable();
$PAGE->navbar->add(get_string('board', 'local_examstream'), $board);
$PAGE->navbar->add($student);

story_viewed::create_strict($context, $attempt)->trigger();

$state = null;
$failure = 'story_none';
try {
    $backend = \core\di::get(backend::class);
    $state = $backend->is_available() ? $backend->state(site::id(), (int) $attempt->id) : null;
} catch (\ExamStream\StateException $e) {
    site::note('reading the story of an attempt', $e);
    $failure = 'board_storedown';
}

echo $OUTPUT->header();
echo $OUTPUT->heading(s($title), 2, 'h4');
if ($state === null || !resume::belongs($state, $attempt)) {
    echo $OUTPUT->notification(get_string($failure, 'local_examstream'), 'info', false);
} else {
    $names = $DB->get_records_sql_menu(
        'SELECT qa.slot, q.name FROM {question_attempts} qa JOIN {question} q ON q.id = qa.questionid WHERE qa.questionusageid = ?',
        [$attempt->uniqueid]
    );
    $names = array_map(fn($name) => format_string($name, true, ['context' => $context, 'escape' => false]), $names);
    $state['signals'] = $viewer->signals($state['signals'], $state['lifecycle']['type'] ?? null);
    $story = new story_page($attempt, $state, $names, $student, $roster);
    echo $OUTPUT->render_from_template('local_examstream/story', $story->export_for_template($OUTPUT));
}
echo $OUTPUT->footer();
