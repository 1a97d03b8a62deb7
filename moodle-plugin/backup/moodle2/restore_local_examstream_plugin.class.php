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
 * What a backup of a quiz brings back.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class restore_local_examstream_plugin extends restore_local_plugin {
    /** @var array the settings of the quiz. */
    private array $settings = [];

    /**
     * The settings of the quiz.
     *
     * @return restore_path_element[]
     */
    protected function define_module_plugin_structure() {
        return [new restore_path_element('local_examstream_quiz', $this->get_pathfor('/quiz'))];
    }

    /**
     * Keeps the settings: the quiz itself is not restored yet.
     *
     * @param array $data
     */
    public function process_local_examstream_quiz($data) {
        // A backup of an older version has fewer of them.
        foreach (array_intersect_key((array) $data, array_flip(\local_examstream\local\quiz_form::settings())) as $name => $value) {
            $this->settings[$name] = $value === null || $value === '' ? null : (int) $value;
        }
    }

    /**
     * Sets them.
     */
    public function after_restore_module() {
        \local_examstream\local\quiz_form::set((int) $this->task->get_activityid(), $this->settings);
    }
}
