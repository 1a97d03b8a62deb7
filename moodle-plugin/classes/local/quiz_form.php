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

/**
 * The section "Exam Stream" of a quiz's form.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class quiz_form {
    /** What the names of our elements begin with. Each is '' as the site sets it, 1 yes, 0 no. */
    private const PREFIX = 'local_examstream_';

    /**
     * The columns of local_examstream_quiz that are set here.
     *
     * @return string[]
     */
    public static function settings(): array {
        return ['enabled', ...array_keys(switches::BITS)];
    }

    /**
     * Adds the section.
     *
     * @param \moodleform_mod $form
     * @param \MoodleQuickForm $mform
     */
    public static function extend(\moodleform_mod $form, \MoodleQuickForm $mform): void {
        global $DB;
        $current = $form->get_current();
        if (($current->modulename ?? '') !== 'quiz' || !has_capability('local/examstream:configurequiz', $form->get_context())) {
            return;
        }
        $quiz = empty($current->instance) ? null
            : $DB->get_record('local_examstream_quiz', ['quizid' => $current->instance]);
        $mform->addElement('header', 'local_examstream_header', get_string('pluginname', 'local_examstream'));
        foreach (self::settings() as $name) {
            $site = $name === 'enabled' ? (site::setting('quizdefault') ? 'on' : 'off') : site::setting($name);
            if ($site === 'never') {
                continue;
            }
            $element = self::PREFIX . $name;
            $string = $name === 'enabled' ? 'quiz_enabled' : "{$name}_setting";
            $mform->addElement('select', $element, get_string($string, 'local_examstream'), [
                '' => get_string('quiz_default', 'local_examstream', get_string($site === 'on' ? 'yes' : 'no')),
                1 => get_string('yes'),
                0 => get_string('no'),
            ]);
            $mform->addHelpButton($element, $string, 'local_examstream');
            $mform->setDefault($element, $quiz->$name ?? '');
        }
        if (!site::setting('enabled') || !\core\di::get(backend::class)->is_available()) {
            $mform->addElement('static', self::PREFIX . 'off', '', get_string('quiz_off', 'local_examstream'));
        }
    }

    /**
     * Saves the section.
     *
     * @param \stdClass $data the form's data.
     */
    public static function save(\stdClass $data): void {
        if ($data->modulename !== 'quiz') {
            return;
        }
        // A form that was made by somebody who may not set it, or by a script, says nothing; so does one without a switch
        // that the site has forbidden.
        $said = [];
        foreach (self::settings() as $name) {
            $value = $data->{self::PREFIX . $name} ?? null;
            if ($value !== null) {
                $said[$name] = $value === '' ? null : (int) (bool) $value;
            }
        }
        if ($said) {
            self::set((int) $data->instance, $said);
        }
    }

    /**
     * Sets what a quiz wants.
     *
     * @param int $quizid
     * @param array $settings of {@see self::settings()} => 1, 0, or null: as the site. What is not named stays.
     */
    public static function set(int $quizid, array $settings): void {
        global $DB;
        $row = (array) $DB->get_record('local_examstream_quiz', ['quizid' => $quizid]);
        $new = array_intersect_key($settings + $row, array_flip(self::settings()));
        if (!array_filter($new, fn($value) => $value !== null)) {
            $DB->delete_records('local_examstream_quiz', ['quizid' => $quizid]);
        } else if (isset($row['id'])) {
            $DB->update_record('local_examstream_quiz', (object) ($new + ['id' => $row['id']]));
        } else {
            $DB->insert_record('local_examstream_quiz', (object) ($new + ['quizid' => $quizid]));
        }
    }
}
