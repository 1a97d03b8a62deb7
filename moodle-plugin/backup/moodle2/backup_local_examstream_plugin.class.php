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
 * What a backup of a quiz takes along.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class backup_local_examstream_plugin extends backup_local_plugin {
    /**
     * The settings of the quiz.
     *
     * @return backup_plugin_element
     */
    protected function define_module_plugin_structure() {
        $plugin = $this->get_plugin_element(null, '../../modulename', 'quiz');
        $wrapper = new backup_nested_element($this->get_recommended_name());
        $quiz = new backup_nested_element('quiz', null, \local_examstream\local\quiz_form::settings());
        $plugin->add_child($wrapper);
        $wrapper->add_child($quiz);
        $quiz->set_source_table('local_examstream_quiz', ['quizid' => backup::VAR_ACTIVITYID]);
        return $plugin;
    }
}
