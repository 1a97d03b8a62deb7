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
    /** The element: '' as the site sets it, 1 yes, 0 no. */
    private const ELEMENT = 'local_examstream_enabled';

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
        $default = get_string(site::setting('quizdefault') ? 'yes' : 'no');
        $mform->addElement('header', 'local_examstream_header', get_string('pluginname', 'local_examstream'));
        $mform->addElement('select', self::ELEMENT, get_string('quiz_enabled', 'local_examstream'), [
            '' => get_string('quiz_enabled_default', 'local_examstream', $default),
            1 => get_string('yes'),
            0 => get_string('no'),
        ]);
        $mform->addHelpButton(self::ELEMENT, 'quiz_enabled', 'local_examstream');
        if (!empty($current->instance)) {
            $enabled = $DB->get_field('local_examstream_quiz', 'enabled', ['quizid' => $current->instance]);
            $mform->setDefault(self::ELEMENT, $enabled === false ? '' : $enabled);
        }
        if (!site::setting('enabled') || !\core\di::get(backend::class)->is_available()) {
            $mform->addElement('static', 'local_examstream_off', '', get_string('quiz_off', 'local_examstream'));
        }
    }

    /**
     * Saves the section.
     *
     * @param \stdClass $data the form's data.
     */
    public static function save(\stdClass $data): void {
        // A form that was made by somebody who may not set it, or by a script, says nothing.
        if ($data->modulename === 'quiz' && isset($data->{self::ELEMENT})) {
            self::set((int) $data->instance, $data->{self::ELEMENT} === '' ? null : (bool) $data->{self::ELEMENT});
        }
    }

    /**
     * Sets what a quiz wants.
     *
     * @param int $quizid
     * @param bool|null $enabled null: as the site.
     */
    public static function set(int $quizid, ?bool $enabled): void {
        global $DB;
        $DB->delete_records('local_examstream_quiz', ['quizid' => $quizid]);
        if ($enabled !== null) {
            $DB->insert_record('local_examstream_quiz', ['quizid' => $quizid, 'enabled' => (int) $enabled]);
        }
    }
}
