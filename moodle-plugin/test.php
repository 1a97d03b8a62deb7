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
 * "Test the connection", for administrators.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/adminlib.php');

admin_externalpage_setup('local_examstream_test');

$url = new moodle_url('/local/examstream/test.php');
$steps = [];
if (optional_param('run', false, PARAM_BOOL) && confirm_sesskey()) {
    $steps = \local_examstream\local\connection_test::run();
}

echo $OUTPUT->header();
echo $OUTPUT->heading(get_string('test', 'local_examstream'));
echo html_writer::tag('p', get_string('test_desc', 'local_examstream'));

if ($steps) {
    $table = new html_table();
    $table->attributes['class'] = 'admintable generaltable';
    $table->head = [get_string('status'), get_string('test_step', 'local_examstream'), get_string('summary')];
    foreach ($steps as $name => $result) {
        $table->data[] = [
            $OUTPUT->check_result($result),
            get_string($name, 'local_examstream'),
            $result->get_summary() . ($result->get_details() ? html_writer::div($result->get_details(), 'text-muted') : ''),
        ];
    }
    echo html_writer::table($table);
}

echo $OUTPUT->single_button(new moodle_url($url, ['run' => 1]), get_string('test', 'local_examstream'), 'post');
echo $OUTPUT->footer();
