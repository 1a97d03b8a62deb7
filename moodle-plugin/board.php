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
 * The live board of a quiz, and its download.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

use local_examstream\event\board_downloaded;
use local_examstream\event\board_viewed;
use local_examstream\local\backend;
use local_examstream\local\board;
use local_examstream\local\board_feed;
use local_examstream\local\board_table;
use local_examstream\local\invigilator;
use local_examstream\local\roster;
use local_examstream\local\site;
use local_examstream\output\board_page;

require(__DIR__ . '/../../config.php');

$cmid = required_param('cmid', PARAM_INT);
$download = optional_param('download', '', PARAM_ALPHA);

[$course, $cm] = get_course_and_cm_from_cmid($cmid, 'quiz');
require_login($course, false, $cm);
$context = context_module::instance($cm->id);
require_capability('local/examstream:viewboard', $context);

$url = new moodle_url('/local/examstream/board.php', ['cmid' => $cm->id]);
$viewer = new invigilator($cm, (int) $USER->id);
$backend = \core\di::get(backend::class);

if ($download !== '') {
    try {
        $table = new board_table(new roster($viewer), new board($viewer, new board_feed($backend)));
    } catch (\ExamStream\StateException $e) {
        site::note('reading the live board', $e);
        throw new moodle_exception('board_storedown', 'local_examstream', $url);
    }
    board_downloaded::create_strict($context)->trigger();
    $name = clean_filename(format_string($cm->name) . ' ' . get_string('board', 'local_examstream'));
    \core\dataformat::download_data($name, $download, $table->columns(), $table->rows());
    exit;
}

$PAGE->set_url($url);
$PAGE->set_pagelayout('report');
$PAGE->set_title(format_string($cm->name) . ': ' . get_string('board', 'local_examstream'));
$PAGE->set_heading($course->fullname);
$PAGE->set_secondary_active_tab('local_examstream_board');
$PAGE->activityheader->disable();

board_viewed::create_strict($context)->trigger();

echo $OUTPUT->header();
echo $OUTPUT->heading(get_string('board', 'local_examstream'), 2, 'h4');
if (!$backend->is_available()) {
    echo $OUTPUT->notification(get_string('check_extension_missing', 'local_examstream'), 'warning', false);
} else if (!site::is_quiz_enabled((int) $cm->instance)) {
    echo $OUTPUT->notification(get_string('board_off', 'local_examstream'), 'warning', false);
} else {
    $page = new board_page($viewer);
    echo $OUTPUT->render_from_template('local_examstream/board', $page->export_for_template($OUTPUT));
    $PAGE->requires->js_call_amd('local_examstream/board', 'init');
}
echo $OUTPUT->footer();
